{#- The columns of a seed with their types: those of `column_types`, else what dbt infers from the rows. -#}
{% macro seed_columns(rows) %}
    {%- for name in rows.column_names -%}
        {{ adapter.quote_seed_column(name, config.get('quote_columns', none)) }} {{ millpond.seed_type(rows, name, loop.index0) }}
        {%- if not loop.last %}, {% endif -%}
    {%- endfor -%}
{% endmacro %}


{% macro seed_type(rows, name, position) -%}
    {{ return((config.get('column_types') or {}).get(name, adapter.convert_type(rows, position))) }}
{%- endmacro %}


{#- A query that returns the rows of a seed, where the engine cannot read its file. -#}
{% macro seed_rows(rows) %}
    select
        {%- for name in rows.column_names %}
        cast({{ adapter.quote(name) }} as {{ millpond.seed_type(rows, name, loop.index0) }}) as {{ adapter.quote(name) }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from (
        values
        {%- for row in rows.rows %}
        (
            {%- for value in row -%}
                {%- if value is none -%} cast(null as varchar)
                {%- else -%} '{{ value | string | replace("'", "''") }}'
                {%- endif -%}
                {{- ', ' if not loop.last -}}
            {%- endfor -%}
        ){{ ',' if not loop.last }}
        {%- endfor %}
    ) as rows_of_seed ({% for name in rows.column_names %}{{ adapter.quote(name) }}{{ ', ' if not loop.last }}{% endfor %})
{% endmacro %}
