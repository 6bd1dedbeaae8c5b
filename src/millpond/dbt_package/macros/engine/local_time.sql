{#- What a clock in the configured zone showed at an instant, as a timestamp without zone. -#}
{% macro local_time(instant) -%}
    {{ return(adapter.dispatch('local_time', 'millpond')(instant)) }}
{%- endmacro %}


{% macro duckdb__local_time(instant) -%}
    timezone('{{ var("timezone") }}', {{ instant }})
{%- endmacro %}


{% macro trino__local_time(instant) -%}
    cast({{ instant }} at time zone '{{ var("timezone") }}' as timestamp(6))
{%- endmacro %}
