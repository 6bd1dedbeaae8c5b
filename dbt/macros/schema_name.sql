{#- A model's schema is its layer, whatever the target: bronze, silver, gold. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
