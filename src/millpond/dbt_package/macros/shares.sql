{#- `part` of `whole` in percent, not rounded; null when there is no whole. -#}
{% macro percentage(part, whole) -%}
    100 * cast({{ part }} as double) / nullif(cast({{ whole }} as double), 0)
{%- endmacro %}


{#- Number of rows for which `condition` holds. -#}
{% macro count_if(condition) -%}
    cast(coalesce(sum(case when {{ condition }} then 1 else 0 end), 0) as bigint)
{%- endmacro %}
