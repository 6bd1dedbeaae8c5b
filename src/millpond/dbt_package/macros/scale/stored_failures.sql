{#- On Trino a test only counts what it finds: it has no tables of its own in the lake. -#}
{% macro trino__get_create_sql(relation, sql) -%}
    {%- if model.resource_type == 'test' -%}
        {%- do exceptions.raise_compiler_error(
            "test " ~ model.name ~ ": store_failures is not supported on Trino; remove it, or use the profile embedded"
        ) -%}
    {%- endif -%}
    {%- do return(dbt.default__get_create_sql(relation, sql)) -%}
{%- endmacro %}
