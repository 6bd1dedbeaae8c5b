with

readings as (
    select
        reading_date,
        cast(glucose_mg_dl as double) as glucose_mg_dl
    from {{ ref('fct_glucose_readings') }}
),

measured as (
    select
        reading_date,
        cast(count(*) as bigint) as reading_count,
        avg(glucose_mg_dl) as mean,
        stddev_samp(glucose_mg_dl) as deviation,
        cast(sum(glucose_mg_dl) as bigint) as glucose_sum_mg_dl,
        cast(min(glucose_mg_dl) as bigint) as min_glucose_mg_dl,
        cast(max(glucose_mg_dl) as bigint) as max_glucose_mg_dl,
        {{ millpond.count_if('glucose_mg_dl between 70 and 180') }} as readings_in_range,
        {{ millpond.count_if('glucose_mg_dl < 70') }} as readings_below_range,
        {{ millpond.count_if('glucose_mg_dl > 180') }} as readings_above_range,
        {{ millpond.count_if('glucose_mg_dl < 54') }} as readings_below_54
    from readings
    group by reading_date
),

final as (
    select
        reading_date,
        reading_count,
        round({{ millpond.percentage('reading_count', 288) }}, 1) as coverage_pct,
        round(mean, 1) as avg_glucose_mg_dl,
        min_glucose_mg_dl,
        max_glucose_mg_dl,
        round(deviation, 1) as stddev_glucose_mg_dl,
        round({{ millpond.percentage('readings_in_range', 'reading_count') }}, 1) as time_in_range_pct,
        round({{ millpond.percentage('readings_below_range', 'reading_count') }}, 1) as time_below_range_pct,
        round({{ millpond.percentage('readings_above_range', 'reading_count') }}, 1) as time_above_range_pct,
        round(100 * deviation / mean, 1) as coefficient_of_variation,
        round({{ glucose_management_indicator('mean') }}, 2) as gmi_pct,
        glucose_sum_mg_dl,
        readings_in_range,
        readings_below_range,
        readings_above_range,
        readings_below_54,
        round({{ millpond.percentage('readings_below_54', 'reading_count') }}, 1) as time_below_54_pct
    from measured
)

select * from final
