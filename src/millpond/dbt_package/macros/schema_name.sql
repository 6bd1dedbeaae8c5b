{#- A model's schema is its layer, whatever the target: bronze, silver, gold. What a test stores is in quarantine. -#}
{% macro default__generate_schema_name(custom_schema_name, node) -%}
    {%- if node.resource_type == 'test' -%} quarantine {%- else -%} {{ custom_schema_name or target.schema }} {%- endif -%}
{%- endmacro %}
