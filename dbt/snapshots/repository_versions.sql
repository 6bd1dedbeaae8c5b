{% snapshot repository_versions %}

    {{ millpond.versions(
        ref('stg_github_user_events'), 'repository_id', 'repository_name', 'event_at', 'event_id'
    ) }}

{% endsnapshot %}
