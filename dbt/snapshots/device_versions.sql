{% snapshot device_versions %}

    {{ millpond.versions(
        ref('stg_glucose_entries'), 'device', 'utc_offset_minutes', 'reading_at', 'entry_id', holds_hours=6
    ) }}

{% endsnapshot %}
