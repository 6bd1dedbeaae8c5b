{#-
    Every row satisfies every rule; returns the rows that do not, each with the first rule it breaks.
    A rule is a condition in SQL; one that comes out as null counts as broken. One scan serves all rules.
-#}
{% test rows_satisfy(model, rules) %}

select *
from (
    select
        case
            {%- for rule in rules %}
            when not coalesce({{ rule }}, false) then '{{ rule | replace("'", "''") }}'
            {%- endfor %}
        end as broken_rule,
        checked.*
    from (select * from {{ model }}) as checked
) as judged
where broken_rule is not null

{% endtest %}
