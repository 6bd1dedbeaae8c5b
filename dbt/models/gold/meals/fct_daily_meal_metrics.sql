with

meals as (
    select * from {{ ref('fct_meals') }}
),

final as (
    select
        response_date,
        cast(count(*) as bigint) as meal_count,
        cast(sum(carbs_g) as bigint) as carbs_g,
        round(coalesce(sum(insulin_units), 0), 1) as insulin_units,
        cast(count(glucose_rise_mg_dl) as bigint) as meals_with_rise,
        cast(coalesce(sum(glucose_rise_mg_dl), 0) as bigint) as glucose_rise_sum_mg_dl,
        round(avg(cast(glucose_rise_mg_dl as double)), 1) as avg_glucose_rise_mg_dl,
        cast(max(peak_glucose_mg_dl) as bigint) as max_peak_glucose_mg_dl,
        cast(count(finger_stick_difference_mg_dl) as bigint) as meals_with_finger_stick,
        round(avg(cast(abs(finger_stick_difference_mg_dl) as double)), 1) as avg_finger_stick_difference_mg_dl
    from meals
    group by response_date
)

select * from final
