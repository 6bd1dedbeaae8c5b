{#-
    What a model declares around its SQL. Hooks with `transaction: false` run outside of those with: neither engine has
    transactions here, so only the order is left of the difference. `grants` change nothing, which a warning says.
-#}
{% macro run_before_model() %}
    {%- do millpond.run_each(pre_hooks, false) -%}
    {%- do millpond.run_each(pre_hooks, true) -%}
    {%- if config.get('sql_header') -%}
        {%- call statement('header') -%} {{ config.get('sql_header') }} {%- endcall -%}
    {%- endif -%}
{% endmacro %}


{% macro run_after_model() %}
    {%- do millpond.run_each(post_hooks, true) -%}
    {%- do millpond.run_each(post_hooks, false) -%}
    {%- if config.get('grants') -%}
        {%- do exceptions.warn(
            "model " ~ model.name ~ ": its grants change nothing, tables of the lake have no rights of their own; grant them on"
            ~ " its mart in Postgres"
        ) -%}
    {%- endif -%}
{% endmacro %}


{% macro run_each(hooks, in_transaction) %}
    {%- for hook in hooks | selectattr('transaction', 'equalto', in_transaction) -%}
        {%- set sql = render(hook.get('sql')) | trim -%}
        {%- if sql -%}
            {%- call statement(auto_begin=in_transaction) -%} {{ sql }} {%- endcall -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}
