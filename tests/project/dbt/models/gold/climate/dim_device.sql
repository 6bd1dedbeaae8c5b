select
    surrogate_key,
    device,
    place,
    effective_start,
    effective_end,
    effective_end is null as is_current
from {{ ref('device_versions') }}
where dbt_valid_to is null
