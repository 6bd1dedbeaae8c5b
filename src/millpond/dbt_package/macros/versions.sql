{#-
    The versions that rows show of `attribute` for each `key`: one row from the first row with a value until the
    first with another. The first version of a key begins with its first row. A row without a value says nothing, but
    a key that never has one gets a version without. Of rows of one instant, the last by `tie_breaker` counts.

    With `holds_hours` a value holds as long as rows with it keep coming, at most so many hours apart: another begins a
    version when the former has ended, or, if its rows began before that, when they have outlived it by as many hours.
    So two sources that share a key and differ in the value make no version for each row.

    All follows from the rows alone: any days may be loaded again, later, or in another order.
-#}
{% macro versions(relation, key, attribute, instant, tie_breaker, holds_hours=none) -%}
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

one_per_instant as (
    select {{ key }}, {{ attribute }}, shown_at, first_at
    from in_order
    where next_at is null or next_at > shown_at
),

{%- if holds_hours %}
{%- set of_value = "partition by " ~ key ~ ", " ~ attribute %}
{%- set hold = holds_hours * 3600000 %}

gaps as (
    select
        *,
        {{ millpond.epoch_ms('shown_at') }} as shown_ms,
        {{ millpond.epoch_ms('shown_at') }} - {{ millpond.epoch_ms('lag(shown_at) over (' ~ of_value ~ ' order by shown_at)') }} as gap_ms
    from one_per_instant
),

numbered as (
    select
        *,
        sum(case when gap_ms <= {{ hold }} then 0 else 1 end) over ({{ of_value }} order by shown_at) as run_number
    from gaps
),

runs as (
    select
        *,
        min(shown_ms) over ({{ of_value }}, run_number) as run_start,
        max(shown_ms) over ({{ of_value }}, run_number) as run_end
    from numbered
),

runs_before as (
    select
        *,
        max(run_end) over (
            partition by {{ key }} order by run_start, shown_ms rows between unbounded preceding and 1 preceding
        ) as end_before
    from runs
),

held as (
    select
        *,
        max(case when shown_ms = run_start then end_before end) over ({{ of_value }}, run_number) as held_until
    from runs_before
),

lasting as (
    select * from held
    where
        held_until is null
        or run_start > held_until
        or (run_end > held_until + {{ hold }} and shown_ms > held_until)
),
{%- endif %}

compared as (
    select
        *,
        row_number() over (partition by {{ key }} order by shown_at) as row_position,
        lag({{ attribute }}) over (partition by {{ key }} order by shown_at) as previous_value
    from {{ 'lasting' if holds_hours else 'one_per_instant' }}
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
        dbt.safe_cast(key, dbt.type_string()), "' '", dbt.safe_cast(millpond.epoch_ms('effective_start'), dbt.type_string())
    ])) }} as surrogate_key,
    {{ key }},
    {{ attribute }},
    effective_start,
    lead(effective_start) over (partition by {{ key }} order by effective_start) as effective_end
from changes
{%- endmacro %}
