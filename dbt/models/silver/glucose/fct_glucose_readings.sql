with

entries as (
    select * from {{ look_back(ref('stg_glucose_entries'), days=2) }}
),

in_time as (
    select
        *,
        {{ epoch_ms('reading_at') }} as at_ms,
        lag({{ epoch_ms('reading_at') }}) over (order by reading_at, entry_id) as previous_ms
    from entries
),

grouped as (
    select
        *,
        max(case when previous_ms is null or at_ms - previous_ms >= 150000 then at_ms end) over (
            order by reading_at, entry_id rows between unbounded preceding and current row
        ) as group_ms
    from in_time
),

slotted as (
    select
        *,
        case
            when at_ms - mod(at_ms, 300000) < group_ms + 150000 then group_ms
            else at_ms - mod(at_ms, 300000)
        end as slot_ms
    from grouped
),

ranked as (
    select
        *,
        row_number() over (partition by group_ms, slot_ms order by reading_at, entry_id) as place_in_slot
    from slotted
),

with_previous as (
    select
        *,
        lag(glucose_mg_dl) over device_readings as previous_glucose_mg_dl,
        lag(reading_at) over device_readings as previous_reading_at
    from ranked
    where place_in_slot = 1
    window device_readings as (partition by device order by reading_at, entry_id)
),

classified as (
    select
        entry_id,
        device,
        reading_at,
        _partition_date as reading_date,
        cast(extract(hour from {{ local_time('reading_at') }}) as bigint) as hour_of_day,
        cast({{ iso_day_of_week('_partition_date') }} as bigint) as day_of_week,
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
        {{ day_name('day_of_week') }} as day_name,
        glucose_mg_dl,
        glucose_category,
        glucose_category = 'in_range' as is_in_range,
        case when has_previous then glucose_mg_dl - previous_glucose_mg_dl end as glucose_change_mg_dl,
        case when has_previous then {{ minutes_between('previous_reading_at', 'reading_at') }} end
            as minutes_since_last_reading,
        direction,
        trend
    from classified
    where {{ in_window('reading_date') }}
)

select * from final
