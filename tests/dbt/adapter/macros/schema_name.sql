{#- The suite expects dbt's names of schemas; ours are layers. -#}
{% macro default__generate_schema_name(custom_schema_name, node) -%}
    {{ dbt.default__generate_schema_name(custom_schema_name, node) }}
{%- endmacro %}
