with

entries as (
    select * from {{ millpond.look_back(ref('stg_glucose_entries'), days=2) }}
),

in_time as (
    select
        *,
        {{ millpond.epoch_ms('reading_at') }} as at_ms,
        mod({{ millpond.epoch_ms('reading_at') }}, 300000) as phase_ms,
        lag({{ millpond.epoch_ms('reading_at') }}) over (order by reading_at, entry_id) as previous_ms
    from entries
),

spaced as (
    select
        *,
        phase_ms - coalesce(
            lag(phase_ms) over (partition by _partition_date order by phase_ms, entry_id),
            max(phase_ms) over (partition by _partition_date) - 300000
        ) as hole_ms,
        first_value(phase_ms) over (
            partition by _partition_date order by reading_at, entry_id
        ) as first_phase_ms
    from in_time
),

anchored as (
    select
        *,
        first_value(2 * phase_ms - hole_ms) over (
            partition by _partition_date
            order by
                case
                    when hole_ms >= 75000 then mod(300000 + first_phase_ms - phase_ms, 300000)
                    else 900000 - hole_ms
                end,
                phase_ms,
                -hole_ms
        ) as twice_border_ms
    from spaced
),

one_per_slot as (
    select *
    from anchored
    where
        previous_ms is null
        or 2 * (at_ms - previous_ms) > mod(2 * at_ms - twice_border_ms, 600000)
        or at_ms - previous_ms >= 225000
),

with_previous as (
    select
        *,
        lag(glucose_mg_dl) over device_readings as previous_glucose_mg_dl,
        lag(reading_at) over device_readings as previous_reading_at
    from one_per_slot
    window device_readings as (partition by device order by reading_at, entry_id)
),

classified as (
    select
        entry_id,
        device,
        reading_at,
        _partition_date as reading_date,
        cast(extract(hour from {{ millpond.local_time('reading_at') }}) as bigint) as hour_of_day,
        cast({{ millpond.iso_day_of_week('_partition_date') }} as bigint) as day_of_week,
        glucose_mg_dl,
        case
            when glucose_mg_dl < 54 then 'hypoglycemia_level_2'
            when glucose_mg_dl < 70 then 'hypoglycemia'
            when glucose_mg_dl <= 180 then 'in_range'
            when glucose_mg_dl <= 250 then 'hyperglycemia_mild'
            else 'hyperglycemia_severe'
        end as glucose_category,
        direction,
        trend,
        previous_glucose_mg_dl,
        previous_reading_at,
        coalesce(previous_reading_at >= reading_at - interval '24' hour, false) as has_previous
    from with_previous
),

final as (
    select
        entry_id,
        device,
        reading_at,
        reading_date,
        hour_of_day,
        day_of_week,
        {{ millpond.day_name('day_of_week') }} as day_name,
        glucose_mg_dl,
        glucose_category,
        glucose_category = 'in_range' as is_in_range,
        case when has_previous then glucose_mg_dl - previous_glucose_mg_dl end as glucose_change_mg_dl,
        case when has_previous then {{ millpond.minutes_between('previous_reading_at', 'reading_at') }} end
            as minutes_since_last_reading,
        direction,
        trend
    from classified
    where {{ millpond.in_window('reading_date') }}
)

select * from final
