with

readings as (
    select
        reading_date,
        lux
    from {{ ref('fct_climate_readings') }}
),

final as (
    select
        reading_date,
        cast(count(*) as bigint) as reading_count,
        cast(sum(lux) as bigint) as lux_sum,
        round(avg(cast(lux as double)), 1) as avg_lux,
        round({{ millpond.percentile('cast(lux as double)', 0.5) }}, 1) as median_lux,
        round({{ millpond.percentage(millpond.count_if('lux between 70 and 180'), 'count(*)') }}, 1)
            as time_in_range_pct
    from readings
    group by reading_date
)

select * from final
