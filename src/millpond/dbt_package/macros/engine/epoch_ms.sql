{#- Milliseconds from 1970-01-01 UTC to an instant. -#}
{% macro epoch_ms(instant) -%}
    {{ return(adapter.dispatch('epoch_ms', 'millpond')(instant)) }}
{%- endmacro %}


{% macro duckdb__epoch_ms(instant) -%}
    epoch_ms({{ instant }})
{%- endmacro %}


{% macro trino__epoch_ms(instant) -%}
    {#- As DuckDB does, what is less than a millisecond is cut off; a double has room for microseconds until 2106. -#}
    cast(round(to_unixtime({{ instant }}) * 1000000) as bigint) / 1000
{%- endmacro %}
