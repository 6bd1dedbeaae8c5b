{#-
    On the embedded engine the lake is written by Millpond, not by SQL: the rows of a model are handed to the plugin
    `lake`, which replaces the table, or the window of the run, in one commit.
-#}
{% materialization table, adapter='duckdb' %}
    {%- if millpond.needs_own_ddl() -%} {{ return(dbt.materialization_table_duckdb()) }} {%- endif -%}
    {{ return(millpond.replace_in_lake()) }}
{% endmaterialization %}


{% materialization incremental, adapter='duckdb' %}
    {%- if config.get('incremental_strategy') != 'microbatch' and millpond.by_hand() -%}
        {{ return(dbt.materialization_incremental_duckdb()) }}
    {%- endif -%}
    {%- do millpond.refuse_other_batches() -%}
    {{ return(millpond.replace_in_lake()) }}
{% endmaterialization %}


{% materialization view, adapter='duckdb' %}
    {%- if millpond.by_hand() -%} {{ return(dbt.materialization_view_default()) }} {%- endif -%}
    {{ millpond.refuse('materialized', 'view', 'use ephemeral, or table where others read it') }}
{% endmaterialization %}


{% materialization snapshot, adapter='duckdb' %}
    {%- if millpond.by_hand() -%} {{ return(dbt.materialization_snapshot_default()) }} {%- endif -%}
    {{ return(millpond.replace_in_lake(millpond.snapshot_rows())) }}
{% endmaterialization %}


{% materialization seed, adapter='duckdb' %}
    {%- if millpond.by_hand() -%} {{ return(dbt.materialization_seed_default()) }} {%- endif -%}
    {%- set rows = load_agate_table() -%}
    {%- set seed = api.Relation.create(database='temp', schema='main', identifier=model.name ~ '__seed') -%}
    {%- do store_result('agate_table', response='OK', agate_table=rows) -%}
    {% call statement('create') -%} create or replace temporary table {{ seed }} ({{ millpond.seed_columns(rows) }}) {%- endcall %}
    {%- do adapter.add_query(
        "copy " ~ seed ~ " from '" ~ adapter.get_seed_file_path(model) ~ "' (format csv, header true, delimiter '"
        ~ config.get('delimiter', ',') ~ "')", auto_begin=false, abridge_sql_log=true
    ) -%}
    {%- set relations = millpond.replace_in_lake('select * from ' ~ seed) -%}
    {% call statement('drop_seed') -%} drop table {{ seed }} {%- endcall %}
    {{ return(relations) }}
{% endmaterialization %}


{#- Rows with a contract are kept in a temporary table, since several statements check them; others are read once. -#}
{% macro replace_in_lake(sql=none) %}
    {%- set checked = config.get('contract').enforced -%}
    {%- do millpond.run_before_model() -%}
    {%- set rows = '(\n' ~ millpond.with_columns_of_table(sql or compiled_code) ~ '\n)' -%}
    {%- set result = api.Relation.create(database='temp', schema='main', identifier=model.name ~ '__result') if checked else rows -%}
    {% call statement('main') -%}
        {{ 'create or replace temporary table ' ~ result ~ ' as ' if checked else 'from ' }}{{ rows }}
    {%- endcall %}
    {%- if checked -%}
        {{ get_assert_columns_equivalent('select * from ' ~ result) }}
        {%- do millpond.refuse_broken_constraints(result) -%}
    {%- endif -%}
    {% do adapter.store_relation('lake', this, [], '', 'arrow', {'model': model, 'result': result | string, 'read': not checked}) %}
    {%- if checked -%} {% call statement('drop_result') -%} drop table {{ result }} {%- endcall %} {%- endif -%}
    {%- do millpond.run_after_model() -%}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmacro %}
