with

with_previous as (
    select
        *,
        lag(lux) over by_device as previous_lux,
        lag(reading_at) over by_device as previous_reading_at
    from {{ millpond.look_back(ref('stg_climate_entries'), days=2) }}
    window by_device as (partition by device order by reading_at, entry_id)
),

final as (
    select
        entry_id,
        device,
        reading_at,
        _partition_date as reading_date,
        cast(extract(hour from {{ millpond.local_time('reading_at') }}) as bigint) as hour_of_day,
        lux,
        lux between 70 and 180 as is_in_range,
        case when previous_reading_at >= reading_at - interval '24' hour then lux - previous_lux end
            as lux_change,
        direction
    from with_previous
)

select * from final
where {{ millpond.in_window('reading_date') }}
