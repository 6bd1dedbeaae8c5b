{#-
    The versions that rows show of `attribute` for each `key`: one row from the first row with a value until the
    first with another. The first version of a key begins with its first row. A row without a value says nothing, but
    a key that never has one gets a version without. Of rows of one instant, the last by `tie_breaker` counts.

    All follows from the rows alone: any days may be loaded again, later, or in another order.
-#}
{% macro versions(relation, key, attribute, instant, tie_breaker) -%}
with

keyed as (
    select
        {{ key }},
        {{ attribute }},
        {{ instant }} as shown_at,
        {{ tie_breaker }} as tie_breaker,
        min({{ instant }}) over (partition by {{ key }}) as first_at,
        count({{ attribute }}) over (partition by {{ key }}) as value_count
    from {{ relation }}
    where {{ key }} is not null and {{ instant }} is not null
),

in_order as (
    select
        *,
        lead(shown_at) over (partition by {{ key }} order by shown_at, tie_breaker) as next_at
    from keyed
    where {{ attribute }} is not null or value_count = 0
),

compared as (
    select
        *,
        row_number() over (partition by {{ key }} order by shown_at) as row_position,
        lag({{ attribute }}) over (partition by {{ key }} order by shown_at) as previous_value
    from in_order
    where next_at is null or next_at > shown_at
),

changes as (
    select
        {{ key }},
        {{ attribute }},
        case when row_position = 1 then first_at else shown_at end as effective_start
    from compared
    where row_position = 1 or {{ attribute }} <> previous_value
)

select
    {{ dbt.hash(dbt.concat([
        dbt.safe_cast(key, dbt.type_string()), "' '", dbt.safe_cast(epoch_ms('effective_start'), dbt.type_string())
    ])) }} as surrogate_key,
    {{ key }},
    {{ attribute }},
    effective_start,
    lead(effective_start) over (partition by {{ key }} order by effective_start) as effective_end
from changes
{%- endmacro %}
