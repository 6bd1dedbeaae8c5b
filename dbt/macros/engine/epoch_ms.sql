{#- Milliseconds from 1970-01-01 UTC to an instant. -#}
{% macro epoch_ms(instant) -%}
    {{ return(adapter.dispatch('epoch_ms', 'millpond')(instant)) }}
{%- endmacro %}


{% macro duckdb__epoch_ms(instant) -%}
    epoch_ms({{ instant }})
{%- endmacro %}


{% macro trino__epoch_ms(instant) -%}
    cast(round(to_unixtime({{ instant }}) * 1000) as bigint)
{%- endmacro %}
