with

history as (
    select * from {{ ref('repository_versions') }}
    where dbt_valid_to is null
),

final as (
    select
        surrogate_key,
        repository_id,
        repository_name,
        effective_start,
        effective_end,
        effective_end is null as is_current
    from history
)

select * from final
