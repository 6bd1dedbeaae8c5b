with

events as (
    select * from {{ ref('fct_github_user_events') }}
),

final as (
    select
        event_date,
        cast(count(*) as bigint) as total_events,
        {{ millpond.count_if("event_category = 'code_contribution'") }} as code_contributions,
        {{ millpond.count_if("event_category = 'collaboration'") }} as collaborations,
        {{ millpond.count_if("event_category = 'social'") }} as social_events,
        {{ millpond.count_if("event_category = 'documentation'") }} as documentation_events,
        {{ millpond.count_if("event_category = 'other'") }} as other_events,
        cast(count(distinct repository_name) as bigint) as distinct_repositories
    from events
    group by event_date
)

select * from final
