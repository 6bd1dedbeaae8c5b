select
    id as event_id,
    type as event_type,
    product_name,
    created_at as event_at,
    _partition_date,
    _run_id,
    _loaded_at
from {{ source('raw', 'market_events') }}
