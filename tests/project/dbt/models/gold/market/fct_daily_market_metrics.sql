select
    event_date,
    cast(count(*) as bigint) as total_events,
    cast(count(distinct product_name) as bigint) as distinct_products
from {{ ref('fct_market_events') }}
group by event_date
