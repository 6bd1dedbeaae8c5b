{% snapshot device_versions %}

    {{ millpond.versions(ref('stg_climate_entries'), 'device', 'place', 'reading_at', 'entry_id') }}

{% endsnapshot %}
