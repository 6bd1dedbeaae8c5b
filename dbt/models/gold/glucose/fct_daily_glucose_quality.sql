with

entries as (
    select
        _partition_date as reading_date,
        case
            when coalesce(nullif(type, ''), 'sgv') <> 'sgv' then 'other type'
            when coalesce(sgv, 0) < 20 then 'no value'
            when sgv > 600 then 'implausible'
            else 'plausible'
        end as kind
    from {{ source('raw', 'glucose_entries') }}
),

counted as (
    select
        reading_date,
        cast(count(*) as bigint) as entry_count,
        {{ millpond.count_if("kind = 'plausible'") }} as plausible_count,
        {{ millpond.count_if("kind = 'no value'") }} as no_value_count,
        {{ millpond.count_if("kind = 'implausible'") }} as implausible_count,
        {{ millpond.count_if("kind = 'other type'") }} as other_type_count
    from entries
    group by reading_date
),

readings as (
    select
        reading_date,
        cast(count(*) as bigint) as reading_count
    from {{ ref('fct_glucose_readings') }}
    group by reading_date
),

final as (
    select
        counted.reading_date,
        counted.entry_count,
        coalesce(readings.reading_count, 0) as reading_count,
        counted.plausible_count - coalesce(readings.reading_count, 0) as slot_copy_count,
        counted.no_value_count,
        counted.implausible_count,
        counted.other_type_count
    from counted
    left join readings on counted.reading_date = readings.reading_date
)

select * from final
