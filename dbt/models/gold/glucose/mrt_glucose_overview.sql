with

daily as (
    select * from {{ ref('fct_daily_glucose_metrics') }}
),

newest as (
    select max(reading_date) as reading_date
    from daily
),

rolling as (
    select
        *,
        sum(reading_count) over seven_days as readings_7d,
        sum(readings_in_range) over seven_days as readings_in_range_7d,
        cast(sum(glucose_sum_mg_dl) over seven_days as double)
        / cast(sum(reading_count) over seven_days as double) as mean_7d,
        cast(glucose_sum_mg_dl as double) / cast(reading_count as double) as mean,
        lag(reading_date) over by_day as previous_date,
        lag(cast(glucose_sum_mg_dl as double) / cast(reading_count as double)) over by_day as previous_mean
    from daily
    window
        by_day as (order by reading_date),
        seven_days as (
            order by reading_date range between interval '6' day preceding and current row
        )
),

final as (
    select
        rolling.reading_date,
        rolling.reading_count,
        rolling.coverage_pct,
        rolling.avg_glucose_mg_dl,
        rolling.min_glucose_mg_dl,
        rolling.max_glucose_mg_dl,
        rolling.stddev_glucose_mg_dl,
        rolling.time_in_range_pct,
        rolling.time_below_range_pct,
        rolling.time_above_range_pct,
        rolling.coefficient_of_variation,
        rolling.gmi_pct,
        round(rolling.mean_7d, 1) as avg_glucose_7d_mg_dl,
        round({{ millpond.percentage('rolling.readings_in_range_7d', 'rolling.readings_7d') }}, 1)
            as time_in_range_7d_pct,
        round({{ glucose_management_indicator('rolling.mean_7d') }}, 2) as gmi_7d_pct,
        case
            when rolling.previous_date = {{ millpond.add_days('rolling.reading_date', -1) }}
                then round(rolling.mean - rolling.previous_mean, 1)
        end as glucose_change_from_prev_day,
        rolling.time_below_54_pct
    from rolling
    cross join newest
    where rolling.reading_date > {{ millpond.add_days('newest.reading_date', -90) }}
)

select * from final
