with

readings as (
    select
        reading_date,
        hour_of_day,
        day_of_week,
        cast(glucose_mg_dl as double) as glucose_mg_dl
    from {{ ref('fct_glucose_readings') }}
),

newest as (
    select max(reading_date) as reading_date
    from readings
),

recent as (
    select readings.*
    from readings
    cross join newest
    where readings.reading_date > {{ millpond.add_days('newest.reading_date', -30) }}
),

final as (
    select
        hour_of_day,
        day_of_week,
        cast(count(*) as bigint) as reading_count,
        round(avg(glucose_mg_dl), 1) as avg_glucose_mg_dl,
        round({{ millpond.percentile('glucose_mg_dl', 0.5) }}, 1) as median_glucose_mg_dl,
        round({{ millpond.percentile('glucose_mg_dl', 0.25) }}, 1) as p25_glucose_mg_dl,
        round({{ millpond.percentile('glucose_mg_dl', 0.75) }}, 1) as p75_glucose_mg_dl,
        round({{ millpond.percentage(millpond.count_if('glucose_mg_dl between 70 and 180'), 'count(*)') }}, 1)
            as time_in_range_pct,
        round(stddev_samp(glucose_mg_dl), 1) as stddev_glucose_mg_dl
    from recent
    group by hour_of_day, day_of_week
)

select * from final
