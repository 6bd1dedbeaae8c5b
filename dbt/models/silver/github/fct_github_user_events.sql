with

events as (
    select * from {{ ref('stg_github_user_events') }}
),

final as (
    select
        event_id,
        event_at,
        _partition_date as event_date,
        cast(extract(hour from {{ millpond.local_time('event_at') }}) as bigint) as hour_of_day,
        cast({{ millpond.iso_day_of_week('_partition_date') }} as bigint) as day_of_week,
        event_type,
        case
            when event_type in ('PushEvent', 'CreateEvent', 'DeleteEvent') then 'code_contribution'
            when event_type like 'PullRequest%' or event_type like 'Issue%' then 'collaboration'
            when event_type in ('WatchEvent', 'ForkEvent', 'ReleaseEvent') then 'social'
            when event_type in ('GollumEvent', 'CommitCommentEvent') then 'documentation'
            else 'other'
        end as event_category,
        actor_id,
        actor_login,
        repository_id,
        repository_name,
        is_public
    from events
)

select * from final
