{#- ISO number of a date's day of the week: 1 = Monday … 7 = Sunday. -#}
{% macro iso_day_of_week(date_column) -%}
    {{ return(adapter.dispatch('iso_day_of_week', 'millpond')(date_column)) }}
{%- endmacro %}


{% macro duckdb__iso_day_of_week(date_column) -%}
    extract(isodow from {{ date_column }})
{%- endmacro %}


{% macro trino__iso_day_of_week(date_column) -%}
    day_of_week({{ date_column }})
{%- endmacro %}
