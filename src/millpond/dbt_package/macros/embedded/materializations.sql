{#-
    On the embedded engine the lake is written by Millpond, not by SQL: a model is made a temporary view and
    handed to the plugin `lake`, which computes it and replaces the table, or the window of the run, in one commit.
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


{% macro replace_in_lake(sql=none) %}
    {%- set result = api.Relation.create(database='temp', schema='main', identifier=model.name ~ '__result') -%}
    {%- do millpond.run_before_model() -%}
    {%- set rows = millpond.with_columns_of_table(sql or compiled_code) %}
    {%- set kind = 'table' if modules.re.search('(?i)\\bpivot\\b', rows) else 'view' %}  {#- DuckDB has no views of all pivots -#}
    {% call statement('main') -%}
        create or replace temporary {{ kind }} {{ result }} as (
            {{ rows }}
        )
    {%- endcall %}
    {%- if config.get('contract').enforced -%}
        {{ get_assert_columns_equivalent('select * from ' ~ result) }}
        {%- do millpond.refuse_broken_constraints(result) -%}
    {%- endif -%}
    {% do adapter.store_relation('lake', this, [], '', 'arrow', {'model': model, 'result': result.render()}) %}
    {% call statement('drop_result') -%} drop {{ kind }} {{ result }} {%- endcall %}
    {%- do millpond.run_after_model() -%}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmacro %}
