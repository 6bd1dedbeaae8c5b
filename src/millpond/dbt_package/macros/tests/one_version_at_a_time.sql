{#-
    Of a slowly changing dimension of type 2: each key has one current row, and its other rows end where the next
    begins.
-#}
{% test one_version_at_a_time(model, key) %}

with

in_order as (
    select
        {{ key }},
        effective_start,
        effective_end,
        is_current,
        lead(effective_start) over (partition by {{ key }} order by effective_start, effective_end) as next_start,
        sum(case when is_current then 1 else 0 end) over (partition by {{ key }}) as current_count
    from {{ model }}
)

select *
from in_order
where
    {{ key }} is null
    or effective_start is null
    or is_current is null
    or current_count <> 1
    or is_current <> (effective_end is null)
    or coalesce(effective_end <= effective_start, false)
    or (next_start is null) <> (effective_end is null)
    or coalesce(next_start <> effective_end, false)

{% endtest %}
