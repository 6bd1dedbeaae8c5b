select
    reading_date,
    reading_count,
    avg_lux,
    time_in_range_pct,
    round(
        cast(sum(lux_sum) over seven_days as double) / cast(sum(reading_count) over seven_days as double), 1
    ) as avg_lux_7d
from {{ ref('fct_daily_climate_metrics') }}
window seven_days as (order by reading_date range between interval '6' day preceding and current row)
