with

daily as (
    select * from {{ ref('fct_daily_market_metrics') }}
),

days as (
    select calendar.date_day as event_date
    from {{ ref('dim_date') }} as calendar
    where
        calendar.date_day between (select min(daily.event_date) from daily)
        and (select max(daily.event_date) from daily)
),

final as (
    select
        days.event_date,
        coalesce(daily.total_events, 0) as total_events,
        coalesce(daily.distinct_products, 0) as distinct_products
    from days
    left join daily on days.event_date = daily.event_date
)

select * from final
