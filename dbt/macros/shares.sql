{#- `part` of `whole` in percent, not rounded; null when there is no whole. -#}
{% macro percentage(part, whole) -%}
    100 * cast({{ part }} as double) / nullif(cast({{ whole }} as double), 0)
{%- endmacro %}


{#- Number of rows for which `condition` holds. -#}
{% macro count_if(condition) -%}
    cast(coalesce(sum(case when {{ condition }} then 1 else 0 end), 0) as bigint)
{%- endmacro %}


{#- Glucose management indicator in percent from mean glucose in mg/dL (Bergenstal et al., Diabetes Care 2018). -#}
{% macro glucose_management_indicator(mean_mg_dl) -%}
    3.31e0 + 2.392e-2 * {{ mean_mg_dl }}
{%- endmacro %}
