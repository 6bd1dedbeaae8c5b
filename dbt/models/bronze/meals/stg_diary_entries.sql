with

source as (
    select * from {{ source('raw', 'diary_entries') }}
),

renamed as (
    select
        id as meal_id,
        meal,
        carbs_g,
        insulin_units,
        {{ millpond.timestamp_from_epoch_ms('recorded_at') }} as eaten_at,
        {{ millpond.timestamp_from_epoch_ms('updated_at') }} as updated_at,
        _partition_date,
        _run_id,
        _loaded_at
    from source
)

select * from renamed
