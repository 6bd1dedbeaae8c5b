{#-
    Every instant falls on the day it is filed under, in whatever time zone the days are: a day begins 14 hours
    before its midnight in UTC at the earliest and ends 13 hours after the next at the latest.
-#}
{% test falls_on_day(model, instant, day) %}

{%- set midnight = millpond.days_between("date '1970-01-01'", day) ~ ' * 86400000' %}

select *
from {{ model }}
where not coalesce({{ millpond.epoch_ms(instant) }} - {{ midnight }} between -14 * 3600000 and 37 * 3600000, false)

{% endtest %}
