{#-
    The exact percentile of a group, linear between the two nearest values; `fraction` from 0 to 1.
    Trino has only an approximation, so there the value is looked up in the sorted group.
-#}
{% macro percentile(column, fraction) -%}
    {{ return(adapter.dispatch('percentile', 'millpond')(column, fraction)) }}
{%- endmacro %}


{% macro duckdb__percentile(column, fraction) -%}
    quantile_cont(cast({{ column }} as double), {{ fraction }})
{%- endmacro %}


{% macro trino__percentile(column, fraction) -%}
    {%- set sorted_values -%}
        array_agg(cast({{ column }} as double) order by {{ column }}) filter (where {{ column }} is not null)
    {%- endset -%}
    {%- set position = 'cast(' ~ fraction ~ ' as double) * (count(' ~ column ~ ') - 1)' -%}
    {%- set below = 'cast(floor(' ~ position ~ ') as bigint)' -%}
    {%- set above = 'cast(ceiling(' ~ position ~ ') as bigint)' -%}
    {%- set share = '(' ~ position ~ ' - ' ~ below ~ ')' -%}
    element_at({{ sorted_values }}, {{ below }} + 1) * (1 - {{ share }})
    + element_at({{ sorted_values }}, {{ above }} + 1) * {{ share }}
{%- endmacro %}
