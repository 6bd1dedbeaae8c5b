{#-
    On Trino a model's result becomes a table of its own beside the model's, in one statement. Millpond then makes
    its files the model's, or those of the window of the run, in one commit.
-#}
{% materialization table, adapter='trino' %}
    {{ return(millpond.hand_to_lake()) }}
{% endmaterialization %}


{% materialization incremental, adapter='trino' %}
    {%- do millpond.refuse_other_batches() -%}
    {{ return(millpond.hand_to_lake()) }}
{% endmaterialization %}


{% materialization view, adapter='trino' %}
    {{ millpond.refuse('materialized', 'view', 'use ephemeral, or table where others read it') }}
{% endmaterialization %}


{% materialization snapshot, adapter='trino' %}
    {{ return(millpond.hand_to_lake(millpond.snapshot_rows())) }}
{% endmaterialization %}


{% materialization seed, adapter='trino' %}
    {%- set rows = load_agate_table() -%}
    {%- do store_result('agate_table', response='OK', agate_table=rows) -%}
    {{ return(millpond.hand_to_lake(millpond.seed_rows(rows))) }}
{% endmaterialization %}


{% macro hand_to_lake(sql=none) %}
    {%- set name = this.identifier ~ '__result' -%}
    {%- set result = api.Relation.create(database=this.database, schema=this.schema, identifier=name) -%}
    {%- do millpond.run_before_model() -%}
    {%- set rows = millpond.with_columns_of_table(sql or compiled_code) %}
    {% call statement('main') -%}
        create table {{ result }}
        {{ properties() }}
        as (
            {{ rows }}
        )
    {%- endcall %}
    {%- if config.get('contract').enforced -%}
        {{ get_assert_columns_equivalent('select * from ' ~ result) }}
        {%- do millpond.refuse_broken_constraints(result) -%}
    {%- endif -%}
    {% do adapter.replace_in_lake(model, this.schema ~ '.' ~ name) %}
    {%- do millpond.run_after_model() -%}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmacro %}


{#- The layers are always there. -#}
{% macro trino__list_schemas(database) -%}
    {{ return([['raw'], ['bronze'], ['silver'], ['gold'], ['quarantine']]) }}
{%- endmacro %}


{#- On a branch Trino knows the catalog by another name than dbt. -#}
{% macro trino__list_relations_without_caching(schema_relation) -%}
    {%- set tables -%}
        select '{{ schema_relation.database }}' as table_catalog, table_name, table_schema, 'table' as table_type
        from "{{ schema_relation.database }}".information_schema.tables
        where table_schema = '{{ schema_relation.schema }}'
    {%- endset -%}
    {{ return(run_query(tables)) }}
{%- endmacro %}


{% macro trino__get_columns_in_relation(relation) -%}
    {%- set query -%}
        select column_name, data_type
        from "{{ relation.database }}".information_schema.columns
        where table_schema = '{{ relation.schema }}' and table_name = '{{ relation.identifier }}'
        order by ordinal_position
    {%- endset -%}
    {%- set columns = [] -%}
    {%- for row in run_query(query).rows -%}
        {%- do columns.append(api.Column.from_description(row['column_name'], row['data_type'])) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}
