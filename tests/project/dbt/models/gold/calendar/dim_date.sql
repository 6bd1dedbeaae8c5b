{% set days = 3653 %}

with

numbers as (
    {{ dbt.generate_series(days) }}
),

days as (
    select {{ millpond.add_days("date '2020-01-01'", 'cast(generated_number as bigint) - 1') }} as date_day
    from numbers
    where generated_number <= {{ days }}
),

final as (
    select
        date_day,
        cast(extract(year from date_day) as bigint) as year,
        cast(extract(week from date_day) as bigint) as iso_week,
        {{ millpond.iso_day_of_week('date_day') }} >= 6 as is_weekend
    from days
)

select * from final
