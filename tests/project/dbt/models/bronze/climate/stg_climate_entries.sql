with

renamed as (
    select
        _id as entry_id,
        lux,
        {{ millpond.timestamp_from_epoch_ms('date') }} as reading_at,
        direction,
        device,
        place,
        type as reading_type,
        _partition_date,
        _run_id,
        _loaded_at
    from {{ source('raw', 'climate_entries') }}
)

select * from renamed
where reading_type = 'lux' and lux between 20 and 600
