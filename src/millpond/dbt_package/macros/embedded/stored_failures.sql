{#- What a test with `store_failures` finds becomes a table of the audit branch, as models do. -#}
{% macro duckdb__get_create_sql(relation, sql) -%}
    {%- if model.resource_type == 'test' and target.plugins and not millpond.by_hand() -%}
        {%- set result = api.Relation.create(database='temp', schema='main', identifier=model.alias ~ '__result') -%}
        {%- call statement('failures') -%}
            create or replace temporary view {{ result }} as ({{ sql }})
        {%- endcall -%}
        {%- do adapter.store_relation('lake', relation, [], '', 'arrow', {'model': model, 'result': result.render()}) -%}
        {%- do return('drop view ' ~ result) -%}
    {%- endif -%}
    {%- do return(dbt.default__get_create_sql(relation, sql)) -%}
{%- endmacro %}
