{#-
    The constraints of a model whose contract is enforced, held against its new rows before the lake takes them:
    Iceberg tables know none. Of a daily model these are the rows of the days that are built.
-#}
{% macro refuse_broken_constraints(result) %}
    {%- set queries = [] -%}
    {%- for constraint in model.get('constraints') or [] -%}
        {%- do millpond.add_constraint(queries, constraint, constraint.get('columns') or [], result) -%}
    {%- endfor -%}
    {%- for column in model.columns.values() -%}
        {%- for constraint in column.get('constraints') or [] -%}
            {%- do millpond.add_constraint(queries, constraint, [column.name], result) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if queries -%}
        {%- for row in run_query(queries | join(' union all ')).rows if row[1] -%}
            {{ exceptions.raise_compiler_error(
                "model " ~ model.name ~ ": constraint " ~ row[0] ~ " is broken by " ~ row[1] ~ " rows or keys"
            ) }}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}


{% macro add_constraint(queries, constraint, columns, result) %}
    {%- set kind = constraint.type.value if constraint.type.value is defined else constraint.type -%}
    {%- set listed = columns | join(', ') -%}
    {%- set quoted = [] -%}
    {%- for column in columns -%}
        {%- do quoted.append(column if column.startswith('"') else adapter.quote(column)) -%}
    {%- endfor -%}
    {%- set key = quoted | join(', ') -%}
    {%- if kind in ['not_null', 'primary_key'] -%}
        {%- do queries.append(millpond.broken_rows(kind ~ ' (' ~ listed ~ ')', result, (quoted | join(' is null or ')) ~ ' is null')) -%}
    {%- endif -%}
    {%- if kind in ['unique', 'primary_key'] -%}
        {%- set twice -%}
            (select {{ key }} from {{ result }} where {{ quoted | join(' is not null and ') }} is not null
            group by {{ key }} having count(*) > 1) as twice
        {%- endset -%}
        {%- do queries.append(millpond.broken_rows(kind ~ ' (' ~ listed ~ ')', twice, 'true')) -%}
    {%- elif kind == 'check' -%}
        {%- do queries.append(millpond.broken_rows('check (' ~ constraint.expression ~ ')', result, 'not (' ~ constraint.expression ~ ')')) -%}
    {%- elif kind != 'not_null' -%}
        {{ exceptions.raise_compiler_error(
            "model " ~ model.name ~ ": constraint " ~ kind ~ " is not enforced in the lake; remove it, and use a data test"
        ) }}
    {%- endif -%}
{% endmacro %}


{% macro broken_rows(name, rows, condition) -%}
    select '{{ name | replace("'", "''") }}' as name, count(*) as broken from {{ rows }} where {{ condition }}
{%- endmacro %}
