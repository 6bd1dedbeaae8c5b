{#-
    The config `on_schema_change` of a daily model: the columns that its SQL returns are held against those of its table.
    Those that are to be added or removed are so where the rows are stored; a full refresh takes all columns as they come.
-#}
{% macro with_columns_of_table(sql) %}
    {%- set rule = incremental_validate_on_schema_change(config.get('on_schema_change'), default='ignore') -%}
    {%- if config.get('materialized') != 'incremental' or rule == 'append_new_columns' or should_full_refresh() -%}
        {{ return(sql) }}
    {%- endif -%}
    {%- set table = load_cached_relation(this) -%}
    {%- if not table -%} {{ return(sql) }} {%- endif -%}
    {%- set known = {} -%}
    {%- for column in adapter.get_columns_in_relation(table) -%} {%- do known.update({column.name | lower: column.name}) -%} {%- endfor -%}
    {%- set returned = {} -%}
    {%- for column in get_column_schema_from_query(sql) -%} {%- do returned.update({column.name | lower: column.name}) -%} {%- endfor -%}
    {%- set added = returned.keys() | reject('in', known.keys()) | map('string') | list -%}
    {%- set gone = known.keys() | reject('in', returned.keys()) | map('string') | list -%}
    {%- set changes = [] -%}
    {%- if added -%} {%- do changes.append("adds " ~ added | join(', ')) -%} {%- endif -%}
    {%- if gone -%} {%- do changes.append("no longer returns " ~ gone | join(', ')) -%} {%- endif -%}
    {%- if (gone and rule != 'sync_all_columns') or (added and rule == 'fail') -%}
        {{ exceptions.raise_compiler_error(
            "model " ~ model.name ~ " " ~ changes | join(" and ") ~ ", and its on_schema_change is '" ~ rule
            ~ "'; `millpond materialize " ~ model.name ~ " --full-refresh` builds its table with the new columns"
            ~ (", on_schema_change 'append_new_columns' keeps columns that it no longer returns, 'sync_all_columns' removes them"
               if gone else "")
        ) }}
    {%- endif -%}
    {%- if not added or rule == 'sync_all_columns' -%} {{ return(sql) }} {%- endif -%}
    {%- do exceptions.warn(
        "model " ~ model.name ~ " " ~ changes | join ~ ", not stored: its on_schema_change is 'ignore', which is dbt's default"
    ) -%}
    {%- set kept = [] -%}
    {%- for name in known.keys() -%} {%- do kept.append(adapter.quote(returned[name])) -%} {%- endfor -%}
    {{ return("select " ~ kept | join(', ') ~ " from (\n" ~ sql ~ "\n) as every_column") }}
{% endmacro %}
