with

source as (
    select * from {{ source('raw', 'meter_readings') }}
),

final as (
    select
        record_id as finger_stick_id,
        glucose_mg_dl,
        measured_at,
        marker,
        meter,
        _partition_date,
        _run_id,
        _loaded_at
    from source
    where glucose_mg_dl between 20 and 600
)

select * from final
