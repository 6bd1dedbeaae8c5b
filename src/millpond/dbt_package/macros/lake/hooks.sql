{#-
    What a model declares around its SQL. Hooks with `transaction: false` run outside of those with: neither engine has
    transactions here, so only the order is left of the difference. What is for other databases, such as `grants`, changes nothing, which a warning says.
-#}
{% macro run_before_model() %}
    {#- dbt takes a schema to which it has added a table for one that it has listed: whatever is looked for lists it first -#}
    {%- do adapter.get_relation(this.database, this.schema, '') -%}
    {%- do millpond.run_each(pre_hooks, false) -%}
    {%- do millpond.run_each(pre_hooks, true) -%}
    {%- if config.get('sql_header') -%}
        {%- call statement('header') -%} {{ config.get('sql_header') }} {%- endcall -%}
    {%- endif -%}
{% endmacro %}


{% macro run_after_model() %}
    {%- do millpond.run_each(post_hooks, true) -%}
    {%- do millpond.run_each(post_hooks, false) -%}
    {%- set partitioning = "the lake partitions by `properties: {partitioning: …}` and sorts by event_time" -%}
    {%- for name, instead in [
        ('grants', 'tables of the lake have no rights of their own; grant them on its mart in Postgres'),
        ('indexes', 'tables of the lake have none; its mart in Postgres has those of meta.publish.indexes'),
        ('partitioned_by', partitioning), ('partition_by', partitioning), ('sorted_by', partitioning), ('sort_by', partitioning)
    ] if config.get(name) -%}
        {%- do exceptions.warn("model " ~ model.name ~ ": its " ~ name ~ " changes nothing, " ~ instead) -%}
    {%- endfor -%}
{% endmacro %}


{% macro run_each(hooks, in_transaction) %}
    {%- for hook in hooks | selectattr('transaction', 'equalto', in_transaction) -%}
        {%- set sql = render(hook.get('sql')) | trim -%}
        {%- if sql -%}
            {%- call statement(auto_begin=in_transaction) -%} {{ sql }} {%- endcall -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}
