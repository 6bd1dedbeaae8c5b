{#- What no engine builds in the lake, refused by name. -#}
{% macro refuse_other_batches() %}
    {%- if config.get('incremental_strategy') != 'microbatch' -%}
        {{ millpond.refuse('incremental_strategy', config.get('incremental_strategy'), 'use the strategy microbatch with an event_time') }}
    {%- endif -%}
    {%- if config.get('batch_size') != 'day' -%}
        {{ millpond.refuse('batch_size', config.get('batch_size'), 'use batch_size day') }}
    {%- endif -%}
{% endmacro %}


{% macro refuse(setting, value, instead) %}
    {{ exceptions.raise_compiler_error(
        "model " ~ model.name ~ ": " ~ setting ~ " '" ~ value ~ "' is not supported in the lake; " ~ instead
    ) }}
{% endmacro %}
