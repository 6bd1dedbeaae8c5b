{#- Glucose management indicator in percent from mean glucose in mg/dL (Bergenstal et al., Diabetes Care 2018). -#}
{% macro glucose_management_indicator(mean_mg_dl) -%}
    3.31e0 + 2.392e-2 * {{ mean_mg_dl }}
{%- endmacro %}
