{#- The instant of an epoch in milliseconds, as a timestamp with time zone in UTC. -#}
{% macro timestamp_from_epoch_ms(epoch_ms) -%}
    {{ return(adapter.dispatch('timestamp_from_epoch_ms', 'millpond')(epoch_ms)) }}
{%- endmacro %}


{% macro duckdb__timestamp_from_epoch_ms(epoch_ms) -%}
    make_timestamptz({{ epoch_ms }} * 1000)
{%- endmacro %}


{% macro trino__timestamp_from_epoch_ms(epoch_ms) -%}
    cast(from_unixtime_nanos({{ epoch_ms }} * 1000000) as timestamp(6) with time zone)
{%- endmacro %}
