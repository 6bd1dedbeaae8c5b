{#-
    Typed by hand, dbt works on a branch, and whatever DuckDB can write is stored there: see docs/dbt.md. So what a build
    refuses, or does not do in the way of DuckDB, is left to dbt's own materializations.
-#}
{% macro by_hand() -%}
    {{ return(execute and run_query("select coalesce(getvariable('by_hand'), false)").columns[0].values()[0]) }}
{%- endmacro %}


{#- Whether a model declares what only a `create table` of DuckDB heeds. -#}
{% macro needs_own_ddl() -%}
    {%- set declared = model.get('constraints', []) + model.columns.values() | map(attribute='constraints') | sum(start=[]) -%}
    {{ return((config.get('sql_header') or (config.get('contract').enforced and declared)) and millpond.by_hand()) }}
{%- endmacro %}
