with

forecasts as (
    select
        *,
        {{ millpond.epoch_ms('target_at') }} as target_ms,
        cast({{ millpond.local_time('target_at') }} as date) as target_date
    from {{ millpond.look_back(source('silver', 'fct_glucose_forecast'), days=1) }}
),

readings as (
    select
        reading_date,
        glucose_mg_dl as actual_mg_dl,
        {{ millpond.epoch_ms('reading_at') }} as reading_ms
    from {{ ref('fct_glucose_readings') }}
),

answered as (
    select
        forecasts.*,
        readings.actual_mg_dl,
        row_number() over (partition by forecasts.reading_at order by -readings.reading_ms) as position
    from forecasts
    left join readings
        on
            forecasts.target_date = readings.reading_date
            and readings.reading_ms between forecasts.target_ms - 150000 and forecasts.target_ms + 150000
    where {{ millpond.in_window('forecasts.target_date') }}
),

compared as (
    select
        target_date,
        model_hash,
        actual_mg_dl is not null as has_answer,
        forecast_mg_dl - actual_mg_dl as error,
        abs(forecast_mg_dl - actual_mg_dl) as distance,
        abs(glucose_mg_dl - actual_mg_dl) as same_as_now_distance,
        abs(linear_mg_dl - actual_mg_dl) as linear_distance,
        actual_mg_dl < 70 as is_low,
        low_risk,
        low_risk >= 0.5 as is_warned
    from answered
    where position = 1
),

final as (
    select
        target_date,
        model_hash,
        cast(count(*) as bigint) as forecast_count,
        {{ millpond.count_if("has_answer") }} as answered_count,
        round(avg(distance), 2) as mae_mg_dl,
        round(sqrt(avg(distance * distance)), 2) as rmse_mg_dl,
        round(avg(error), 2) as bias_mg_dl,
        round(avg(same_as_now_distance), 2) as same_as_now_mae_mg_dl,
        round(avg(linear_distance), 2) as linear_mae_mg_dl,
        {{ millpond.count_if("has_answer and is_low") }} as low_count,
        round(sum(case when has_answer then low_risk else 0 end), 1) as expected_low_count,
        {{ millpond.count_if("has_answer and is_low and is_warned") }} as low_warned_count,
        {{ millpond.count_if("has_answer and not is_low and is_warned") }} as false_alarm_count
    from compared
    group by target_date, model_hash
)

select * from final
