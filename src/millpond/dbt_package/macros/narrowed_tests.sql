{#-
    The rows that a generic test looks at: dbt's own hook for its `where`.

    A build tests the days that it makes, which Millpond passes as `millpond_days`; the others were tested when they
    were made. A test that looks at each row by itself sees those days. One that looks for keys that are twice there
    sees, of other days, the rows whose key is also on those days. Any other test sees all rows.
-#}
{% macro default__get_where_subquery(relation) -%}
    {%- set kind = model.get('test_metadata') or {} -%}
    {%- set days = var('millpond_days', {}).get(relation.schema ~ '.' ~ relation.identifier) -%}
    {%- set where = config.get('where', '') -%}
    {%- set key = (kind.get('kwargs') or {}).get('columns') or [(kind.get('kwargs') or {}).get('column_name')] -%}
    {%- set rows = none -%}
    {%- if days and kind.get('namespace') in [none, 'millpond'] -%}
        {%- if kind.get('name') in ['rows_satisfy', 'falls_on_day', 'not_null', 'accepted_values'] -%}
            {%- set rows -%}
                select * from {{ relation }} where {{ millpond.among(days, days.column) }}
                {%- if where %} and ({{ where }}) {%- endif -%}
            {%- endset -%}
        {%- elif kind.get('name') in ['has_key', 'unique'] and not where and millpond.are_columns(key) -%}
            {%- set rows = millpond.rows_of_keys(relation, days, key) -%}
        {%- endif -%}
    {%- endif -%}
    {%- if rows -%}
        {% do return('(' ~ rows ~ ') dbt_subquery') %}
    {%- endif -%}
    {% do return(dbt.default__get_where_subquery(relation)) %}
{%- endmacro %}


{% macro among(days, column) -%}
    ({{ column }} >= date '{{ days.start }}' and {{ column }} < date '{{ days.end }}')
{%- endmacro %}


{#- Of the days and of all others the keys that are on those days; the day itself may be part of the key. -#}
{% macro rows_of_keys(relation, days, key) -%}
    {%- if days.column in key -%}
        select {{ key | join(', ') }} from {{ relation }} where {{ millpond.among(days, days.column) }}
    {%- else -%}
        {%- set same = [] -%}
        {%- for column in key -%}
            {%- do same.append('ours.' ~ column ~ ' = other.' ~ column) -%}
        {%- endfor -%}
        select {{ key | join(', ') }} from {{ relation }} where {{ millpond.among(days, days.column) }}
        union all
        select {{ key | join(', ') }} from {{ relation }} as other
        where not {{ millpond.among(days, 'other.' ~ days.column) }} and exists (
            select 1 from {{ relation }} as ours
            where {{ millpond.among(days, 'ours.' ~ days.column) }} and {{ same | join(' and ') }}
        )
    {%- endif -%}
{%- endmacro %}


{#- Whether all of `key` are names of columns, not expressions. -#}
{% macro are_columns(key) -%}
    {%- for column in key -%}
        {%- if not modules.re.fullmatch('\\w+', column | string) -%} {{ return(false) }} {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{%- endmacro %}
