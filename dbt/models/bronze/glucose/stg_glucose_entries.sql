with

source as (
    select * from {{ source('raw', 'glucose_entries') }}
),

renamed as (
    select
        _id as entry_id,
        sgv as glucose_mg_dl,
        {{ millpond.timestamp_from_epoch_ms('date') }} as reading_at,
        direction,
        trend,
        device,
        type as reading_type,
        utc_offset as utc_offset_minutes,
        _partition_date,
        _run_id,
        _loaded_at
    from source
),

final as (
    select *
    from renamed
    where
        coalesce(nullif(reading_type, ''), 'sgv') = 'sgv'
        and glucose_mg_dl between 20 and 600
)

select * from final
