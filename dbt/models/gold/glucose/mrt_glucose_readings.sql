with

readings as (
    select * from {{ ref('fct_glucose_readings') }}
),

calendar as (
    select * from {{ ref('dim_date') }}
),

final as (
    select
        readings.entry_id,
        readings.device,
        readings.reading_at,
        readings.reading_date,
        calendar.year,
        calendar.quarter,
        calendar.month,
        calendar.iso_year,
        calendar.iso_week,
        readings.day_of_week,
        readings.day_name,
        calendar.is_weekend,
        readings.hour_of_day,
        readings.glucose_mg_dl,
        readings.glucose_category,
        readings.is_in_range,
        readings.glucose_change_mg_dl,
        readings.minutes_since_last_reading,
        readings.direction,
        readings.trend
    from readings
    inner join calendar on readings.reading_date = calendar.date_day
)

select * from final
