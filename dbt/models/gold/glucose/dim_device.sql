with

history as (
    select * from {{ ref('device_versions') }}
    where dbt_valid_to is null
),

final as (
    select
        surrogate_key,
        device,
        utc_offset_minutes,
        effective_start,
        effective_end,
        effective_end is null as is_current
    from history
)

select * from final
