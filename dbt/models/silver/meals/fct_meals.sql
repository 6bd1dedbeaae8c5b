with

meals as (
    select
        *,
        {{ millpond.epoch_ms('eaten_at') }} as eaten_ms,
        cast({{ millpond.local_time("(eaten_at + interval '2' hour)") }} as date) as response_date
    from {{ millpond.look_back(ref('stg_diary_entries'), days=1) }}
),

readings as (
    select
        entry_id,
        glucose_mg_dl,
        {{ millpond.epoch_ms('reading_at') }} as reading_ms
    from {{ millpond.look_back(ref('fct_glucose_readings'), days=1) }}
),

finger_sticks as (
    select
        finger_stick_id,
        glucose_mg_dl,
        {{ millpond.epoch_ms('measured_at') }} as measured_ms
    from {{ millpond.look_back(ref('stg_meter_readings'), days=1) }}
),

before_meal as (
    select
        meals.meal_id,
        readings.glucose_mg_dl,
        row_number() over (
            partition by meals.meal_id order by meals.eaten_ms - readings.reading_ms, readings.entry_id
        ) as position
    from meals
    inner join readings on readings.reading_ms between meals.eaten_ms - 1800000 and meals.eaten_ms
),

after_meal as (
    select
        meals.meal_id,
        readings.glucose_mg_dl,
        readings.reading_ms - meals.eaten_ms as after_ms,
        row_number() over (
            partition by meals.meal_id
            order by -readings.glucose_mg_dl, readings.reading_ms, readings.entry_id
        ) as position
    from meals
    inner join readings on readings.reading_ms between meals.eaten_ms + 1 and meals.eaten_ms + 7200000
),

near_meal as (
    select
        meals.meal_id,
        finger_sticks.finger_stick_id,
        finger_sticks.glucose_mg_dl,
        row_number() over (
            partition by meals.meal_id
            order by abs(finger_sticks.measured_ms - meals.eaten_ms), finger_sticks.finger_stick_id
        ) as position
    from meals
    inner join finger_sticks
        on finger_sticks.measured_ms between meals.eaten_ms - 1800000 and meals.eaten_ms + 1800000
),

final as (
    select
        meals.meal_id,
        meals.meal,
        meals.eaten_at,
        meals._partition_date as meal_date,
        meals.response_date,
        meals.carbs_g,
        meals.insulin_units,
        before_meal.glucose_mg_dl as glucose_before_mg_dl,
        after_meal.glucose_mg_dl as peak_glucose_mg_dl,
        after_meal.glucose_mg_dl - before_meal.glucose_mg_dl as glucose_rise_mg_dl,
        cast(after_meal.after_ms as double) / 60000 as minutes_to_peak,
        near_meal.finger_stick_id,
        near_meal.glucose_mg_dl as finger_stick_mg_dl,
        near_meal.glucose_mg_dl - before_meal.glucose_mg_dl as finger_stick_difference_mg_dl
    from meals
    left join before_meal on meals.meal_id = before_meal.meal_id and before_meal.position = 1
    left join after_meal on meals.meal_id = after_meal.meal_id and after_meal.position = 1
    left join near_meal on meals.meal_id = near_meal.meal_id and near_meal.position = 1
    where {{ millpond.in_window('meals.response_date') }}
)

select * from final
