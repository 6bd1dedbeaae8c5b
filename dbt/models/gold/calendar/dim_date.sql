{% set first_day = "date '2000-01-01'" %}
{% set days = 18263 %}

with

numbers as (
    {{ dbt.generate_series(days) }}
),

days as (
    select {{ millpond.add_days(first_day, 'cast(generated_number as bigint) - 1') }} as date_day
    from numbers
    where generated_number <= {{ days }}
),

numbered as (
    select
        date_day,
        cast(extract(year from date_day) as bigint) as year,
        cast(extract(quarter from date_day) as bigint) as quarter,
        cast(extract(month from date_day) as bigint) as month,
        cast(extract(week from date_day) as bigint) as iso_week,
        cast(extract(day from date_day) as bigint) as day_of_month,
        cast(extract(doy from date_day) as bigint) as day_of_year,
        cast({{ millpond.iso_day_of_week('date_day') }} as bigint) as day_of_week
    from days
),

final as (
    select
        date_day,
        year,
        quarter,
        month,
        {{ millpond.month_name('month') }} as month_name,
        cast(extract(year from {{ millpond.add_days('date_day', '4 - day_of_week') }}) as bigint) as iso_year,
        iso_week,
        day_of_month,
        day_of_year,
        day_of_week,
        {{ millpond.day_name('day_of_week') }} as day_name,
        day_of_week >= 6 as is_weekend,
        day_of_month = 1 as is_month_start,
        extract(day from {{ millpond.add_days('date_day', 1) }}) = 1 as is_month_end
    from numbered
)

select * from final
