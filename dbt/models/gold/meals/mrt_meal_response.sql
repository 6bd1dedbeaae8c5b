with

daily as (
    select * from {{ ref('fct_daily_meal_metrics') }}
),

newest as (
    select max(response_date) as response_date
    from daily
),

rolling as (
    select
        *,
        sum(glucose_rise_sum_mg_dl) over seven_days as rise_sum_7d,
        sum(meals_with_rise) over seven_days as meals_with_rise_7d
    from daily
    window
        seven_days as (
            order by response_date range between interval '6' day preceding and current row
        )
),

final as (
    select
        rolling.response_date,
        rolling.meal_count,
        rolling.carbs_g,
        rolling.insulin_units,
        rolling.avg_glucose_rise_mg_dl,
        rolling.max_peak_glucose_mg_dl,
        round(
            cast(rolling.rise_sum_7d as double) / nullif(cast(rolling.meals_with_rise_7d as double), 0), 1
        ) as avg_glucose_rise_7d_mg_dl,
        rolling.meals_with_finger_stick,
        rolling.avg_finger_stick_difference_mg_dl,
        glucose.avg_glucose_mg_dl,
        glucose.time_in_range_pct
    from rolling
    cross join newest
    left join {{ ref('fct_daily_glucose_metrics') }} as glucose
        on rolling.response_date = glucose.reading_date
    where rolling.response_date > {{ millpond.add_days('newest.response_date', -90) }}
)

select * from final
