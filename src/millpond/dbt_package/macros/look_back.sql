{#-
    For models in which a row depends on days before its own.

    millpond.look_back(relation, days) reads a daily parent over the window of the run and `days` days before it.
    millpond.in_window(column) then keeps the rows of the window alone; without a window both let everything pass.
    A model that looks back declares `meta.look_back_days`, so that a corrected day also rebuilds the days after it.
-#}
{% macro look_back(relation, days) -%}
    {%- set window = relation.event_time_filter -%}
    {%- if window -%}
        {%- set start = window.start - modules.datetime.timedelta(days=days) -%}
        (
            select *
            from {{ relation.render() }}
            where {{ window.field_name }} >= {{ millpond.date_literal(start) }} and {{ window.field_name }} < {{ millpond.date_literal(window.end) }}
        )
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}


{% macro in_window(column) -%}
    {%- set batch = model.get('batch') -%}
    {%- if batch -%}
        {{ column }} >= {{ millpond.date_literal(batch.event_time_start) }} and {{ column }} < {{ millpond.date_literal(batch.event_time_end) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{% macro date_literal(moment) -%}
    date '{{ (moment | string)[:10] }}'
{%- endmacro %}
