{#-
    All rows of a snapshot after this run: dbt's own query says which rows begin and end, by the strategy and
    `hard_deletes`. The lake replaces the table as a whole, in one commit or, where nothing changed, in none.
-#}
{% macro snapshot_rows() %}
    {%- set columns = config.get('snapshot_table_column_names') or get_snapshot_table_column_names() -%}
    {%- set known = load_relation(this) -%}
    {%- set strategy = strategy_dispatch(config.get('strategy'))(
        model, 'snapshotted_data', 'source_data', model['config'], known is not none
    ) -%}
    {%- do millpond.refuse_keys_that_come_twice(strategy.unique_key) -%}
    {%- if known is none -%}
        {{ return(build_snapshot_table(strategy, model['compiled_code'])) }}
    {%- endif -%}
    {%- do adapter.assert_valid_snapshot_target_given_strategy(this, columns, strategy) -%}
    {%- set before = adapter.get_columns_in_relation(this) | map(attribute='name') | list -%}
    {%- set staged = get_columns_in_query(model['compiled_code']) | list -%}
    {%- do staged.extend([columns.dbt_scd_id, columns.dbt_updated_at, columns.dbt_valid_from, columns.dbt_valid_to]) -%}
    {%- if strategy.hard_deletes == 'new_record' -%} {%- do staged.append(columns.dbt_is_deleted) -%} {%- endif -%}
    {%- set after = before + (staged | reject('in', before) | list) -%}
    {%- set forever = config.get('dbt_valid_to_current') -%}
    {%- set rows -%}
        with staged as (
            {{ snapshot_staging_table(strategy, model['compiled_code'], this) }}
        )

        select
            {%- for column in after %}
            {% if column == columns.dbt_valid_to -%}
            case
                when ended.{{ columns.dbt_scd_id }} is not null then ended.{{ column }} else rows_before.{{ column }}
            end as {{ column }}
            {%- elif column in before -%} rows_before.{{ adapter.quote(column) }}
            {%- else -%} null as {{ adapter.quote(column) }}
            {%- endif -%}
            {{ ',' if not loop.last }}
            {%- endfor %}
        from {{ this }} as rows_before
        left join (
            select {{ columns.dbt_scd_id }}, {{ columns.dbt_valid_to }}
            from staged
            where dbt_change_type in ('update', 'delete')
        ) as ended
            on ended.{{ columns.dbt_scd_id }} = rows_before.{{ columns.dbt_scd_id }}
            and (
                rows_before.{{ columns.dbt_valid_to }} is null
                {%- if forever %} or rows_before.{{ columns.dbt_valid_to }} = {{ forever }} {%- endif %}
            )
        union all
        select
            {%- for column in after %}
            {% if column in staged -%} {{ adapter.quote(column) }} {%- else -%} null as {{ adapter.quote(column) }} {%- endif -%}
            {{ ',' if not loop.last }}
            {%- endfor %}
        from staged
        where dbt_change_type = 'insert'
    {%- endset -%}
    {{ return(rows) }}
{% endmacro %}


{#- A key that comes twice would begin two rows at once, of which no later run could tell which to end. -#}
{% macro refuse_keys_that_come_twice(unique_key) %}
    {%- set key = unique_key if unique_key is not string and unique_key is iterable else [unique_key] -%}
    {%- set query -%}
        select count(*) from (
            select {{ key | join(', ') }} from ({{ model['compiled_code'] }}) as asked
            group by {{ key | join(', ') }} having count(*) > 1
        ) as twice
    {%- endset -%}
    {%- set found = run_query(query).columns[0].values()[0] -%}
    {%- if found -%}
        {{ exceptions.raise_compiler_error(
            "snapshot " ~ model.name ~ ": the unique_key " ~ key | join(', ') ~ " is not unique: " ~ found
            ~ " keys come more than once in its query; make the query return one row for each key"
        ) }}
    {%- endif -%}
{% endmacro %}
