with

source as (
    select * from {{ source('raw', 'github_user_events') }}
),

renamed as (
    select
        id as event_id,
        type as event_type,
        actor_id,
        actor_login,
        repo_id as repository_id,
        repo_name as repository_name,
        payload,
        public as is_public,
        created_at as event_at,
        _partition_date,
        _run_id,
        _loaded_at
    from source
)

select * from renamed
