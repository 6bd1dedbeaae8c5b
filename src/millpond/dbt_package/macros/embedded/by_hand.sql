{#-
    Typed by hand, dbt works on a branch, and whatever DuckDB can write is stored there: see docs/dbt.md. So what a build
    refuses, or does not do in the way of DuckDB, is left to dbt's own materializations.
-#}
{% macro by_hand() -%}
    {{ return(execute and run_query("select coalesce(getvariable('by_hand'), false)").columns[0].values()[0]) }}
{%- endmacro %}


{#- `dbt clone` copies a table of another schema; one of the same name on the branch is left as it is. -#}
{% macro duckdb__can_clone_table() -%} {{ return(true) }} {%- endmacro %}


{% macro duckdb__create_or_replace_clone(this_relation, defer_relation) -%}
    create or replace table {{ this_relation }} as from {{ defer_relation }}
{%- endmacro %}


{#- Whether a model declares what only a `create table` of DuckDB heeds. -#}
{% macro needs_own_ddl() -%}
    {%- set declared = model.get('constraints', []) + model.columns.values() | map(attribute='constraints') | sum(start=[]) -%}
    {{ return((config.get('sql_header') or (config.get('contract').enforced and declared)) and millpond.by_hand()) }}
{%- endmacro %}
