{#-
    What there is, for dbt's questions before a run, `load_relation`, `adapter.get_relation` and `dbt docs generate`.
    In the lake a table is a view over its Iceberg metadata file, or over its Parquet files; to dbt it is the table that it is.
-#}
{% macro duckdb__list_schemas(database) -%}
    {%- set schemas -%}
        select schema_name
        from duckdb_schemas()
        where lower(database_name) = lower('{{ (database or target.database) | replace('"', '') }}')
    {%- endset -%}
    {{ return(run_query(schemas)) }}
{%- endmacro %}


{% macro duckdb__list_relations_without_caching(schema_relation) -%}
    {%- set relations -%}
        select table_database, table_name, table_schema, if(table_type = 'VIEW', 'view', 'table') as table_type
        from ({{ millpond.duckdb__get_catalog_tables_sql(schema_relation) }})
        where lower(table_schema) = lower('{{ schema_relation.schema }}')
    {%- endset -%}
    {{ return(run_query(relations)) }}
{%- endmacro %}


{% macro duckdb__get_catalog_tables_sql(information_schema) -%}
    select *
    from (
        select
            database_name as table_database,
            schema_name as table_schema,
            table_name,
            'BASE TABLE' as table_type,
            comment as table_comment
        from duckdb_tables()
        where lower(database_name) = lower('{{ information_schema.database }}') and not temporary
        union all
        select
            database_name as table_database,
            schema_name as table_schema,
            view_name as table_name,
            if(
                regexp_matches(sql, ' AS SELECT (\* FROM iceberg_scan|"error")\(| AS files_of_table;?$'),
                'BASE TABLE',
                'VIEW'
            ) as table_type,
            comment as table_comment
        from duckdb_views()
        where lower(database_name) = lower('{{ information_schema.database }}') and not internal and not temporary
    ) as relations
{%- endmacro %}


{% macro duckdb__get_catalog(information_schema, schemas) -%}
    {{ return(millpond.catalog_of(information_schema, duckdb__get_catalog_schemas_where_clause_sql(schemas))) }}
{%- endmacro %}


{% macro duckdb__get_catalog_relations(information_schema, relations) -%}
    {{ return(millpond.catalog_of(information_schema, duckdb__get_catalog_relations_where_clause_sql(relations))) }}
{%- endmacro %}


{% macro catalog_of(information_schema, where) -%}
    {%- set query -%}
        with tables as (
            {{ millpond.duckdb__get_catalog_tables_sql(information_schema) }}
            {{ where }}
        ),
        columns as (
            {{ duckdb__get_catalog_columns_sql(information_schema) }}
            {{ where }}
        )
        {{ millpond.duckdb__get_catalog_results_sql() }}
    {%- endset -%}
    {{ return(run_query(query)) }}
{%- endmacro %}


{%- macro duckdb__get_catalog_results_sql() -%}
    {%- if target.plugins -%}
        {%- do run_query('select 1') -%}  {#- the plugin works over the connection that this opens -#}
        {%- do adapter.store_relation('lake', api.Relation.create(identifier='lake_statistics'), [], '', 'statistics', {}) -%}
    {%- endif -%}
    select
        {% if target.plugins -%}
        tables.* replace (coalesce(tables.table_comment, statistics.comment) as table_comment),
        coalesce(columns.column_comment, statistics.column_comments[columns.column_name]) as column_comment,
        {%- else -%}
        tables.*,
        columns.column_comment,
        {%- endif %}
        columns.column_name,
        columns.column_index,
        columns.column_type,
        null as table_owner
        {%- if target.plugins -%}
            {%- for id, label, value, description in [
                ('row_count', 'Rows', 'row_count', 'Rows of the current version'),
                ('bytes', 'Size in bytes', 'bytes', 'Bytes of its data files'),
                ('written_at', 'Written at (UTC)', "strftime(written_at, '%Y-%m-%d %H:%M:%S')", 'Time of the current version')
            ] %}
        , '{{ label }}' as "stats:{{ id }}:label"
        , {{ value }} as "stats:{{ id }}:value"
        , '{{ description }}' as "stats:{{ id }}:description"
        , {{ value }} is not null as "stats:{{ id }}:include"
            {%- endfor %}
        {%- endif %}
    from tables
    inner join columns using (table_database, table_schema, table_name)
    {%- if target.plugins %}
    left join temp.main.lake_statistics as statistics
        on lower(tables.table_schema) = statistics.table_schema and lower(tables.table_name) = statistics.table_name
    {%- endif %}
    order by table_schema, table_name, column_index
{%- endmacro %}
