{#- The date `days` days after `date_column`; DuckDB would make a timestamp of it. -#}
{% macro add_days(date_column, days) -%}
    cast({{ dbt.dateadd('day', days, date_column) }} as date)
{%- endmacro %}


{#- Whole days from one date to another. -#}
{% macro days_between(first_date, second_date) -%}
    cast({{ dbt.datediff(first_date, second_date, 'day') }} as bigint)
{%- endmacro %}


{#- Minutes from one instant to another, with fractions. -#}
{% macro minutes_between(first_instant, second_instant) -%}
    cast({{ millpond.epoch_ms(second_instant) }} - {{ millpond.epoch_ms(first_instant) }} as double) / 60000
{%- endmacro %}


{#- English name of an ISO day of the week, 1 = Monday. -#}
{% macro day_name(day_of_week) -%}
    case {{ day_of_week }}
        {%- for name in ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] %}
        when {{ loop.index }} then '{{ name }}'
        {%- endfor %}
    end
{%- endmacro %}


{#- English name of a month, 1 = January. -#}
{% macro month_name(month) -%}
    case {{ month }}
        {%- for name in [
            'January', 'February', 'March', 'April', 'May', 'June',
            'July', 'August', 'September', 'October', 'November', 'December'
        ] %}
        when {{ loop.index }} then '{{ name }}'
        {%- endfor %}
    end
{%- endmacro %}
