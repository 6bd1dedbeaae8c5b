{#- A model's schema is its layer, whatever the target: bronze, silver, gold. What a test stores is in quarantine. -#}
{% macro default__generate_schema_name(custom_schema_name, node) -%}
    {%- if node.resource_type == 'test' -%} quarantine {%- else -%} {{ custom_schema_name or target.schema }} {%- endif -%}
{%- endmacro %}


{#- What a test stores is in the lake, whatever the project says of its database. -#}
{% macro default__generate_database_name(custom_database_name=none, node=none) -%}
    {%- if node and node.resource_type == 'test' -%} {{ target.database }}
    {%- else -%} {{ (custom_database_name or target.database) | trim }}
    {%- endif -%}
{%- endmacro %}


{#- What a test stores is a table of the lake, whose names are lower-case. -#}
{% macro default__generate_alias_name(custom_alias_name=none, node=none) -%}
    {%- set name = dbt.default__generate_alias_name(custom_alias_name, node) -%}
    {%- if node and node.resource_type == 'test' -%} {{ modules.re.sub('[^a-z0-9_]', '_', name | lower) }}
    {%- else -%} {{ name }}
    {%- endif -%}
{%- endmacro %}
