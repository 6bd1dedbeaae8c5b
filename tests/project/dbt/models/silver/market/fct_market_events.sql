select
    event_id,
    event_at,
    _partition_date as event_date,
    event_type,
    product_name
from {{ ref('stg_market_events') }}
