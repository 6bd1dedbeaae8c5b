select
    readings.entry_id,
    readings.device,
    readings.reading_at,
    readings.reading_date,
    calendar.iso_week,
    calendar.is_weekend,
    readings.lux,
    readings.lux_change
from {{ ref('fct_climate_readings') }} as readings
inner join {{ ref('dim_date') }} as calendar on readings.reading_date = calendar.date_day
