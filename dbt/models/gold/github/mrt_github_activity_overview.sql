with

daily as (
    select * from {{ ref('fct_daily_github_metrics') }}
),

span as (
    select
        min(event_date) as first_date,
        max(event_date) as last_date
    from daily
),

days as (
    select calendar.date_day as event_date
    from {{ ref('dim_date') }} as calendar
    inner join span on calendar.date_day between span.first_date and span.last_date
),

filled as (
    select
        days.event_date,
        coalesce(daily.total_events, 0) as total_events,
        coalesce(daily.code_contributions, 0) as code_contributions,
        coalesce(daily.collaborations, 0) as collaborations,
        coalesce(daily.social_events, 0) as social_events,
        coalesce(daily.documentation_events, 0) as documentation_events,
        coalesce(daily.other_events, 0) as other_events,
        coalesce(daily.distinct_repositories, 0) as distinct_repositories
    from days
    left join daily on days.event_date = daily.event_date
),

with_streaks as (
    select
        *,
        sum(case when total_events = 0 then 1 else 0 end) over (
            order by event_date rows between unbounded preceding and current row
        ) as inactive_days_so_far
    from filled
),

final as (
    select
        event_date,
        total_events,
        code_contributions,
        collaborations,
        social_events,
        documentation_events,
        other_events,
        distinct_repositories,
        round(avg(cast(total_events as double)) over last_seven_days, 1) as events_7d_avg,
        total_events - lag(total_events) over by_day as events_change_from_prev_day,
        cast(sum(case when total_events > 0 then 1 else 0 end) over streak as bigint) as active_streak_days,
        case
            when total_events >= 20 then 'very_active'
            when total_events >= 10 then 'active'
            when total_events >= 5 then 'moderate'
            when total_events > 0 then 'light'
            else 'inactive'
        end as activity_level
    from with_streaks
    window
        by_day as (order by event_date),
        last_seven_days as (order by event_date rows between 6 preceding and current row),
        streak as (
            partition by inactive_days_so_far
            order by event_date rows between unbounded preceding and current row
        )
)

select * from final
