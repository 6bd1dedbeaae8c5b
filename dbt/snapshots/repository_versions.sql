{% snapshot repository_versions %}

    {{ versions(ref('stg_github_user_events'), 'repository_id', 'repository_name', 'event_at', 'event_id') }}

{% endsnapshot %}
