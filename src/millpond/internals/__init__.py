"""What Millpond uses of Dagster, dbt, PyIceberg and dlt beyond what they document.

Each such name is imported here once, and from here by the rest of the code. Look here first when a release of
theirs changes something. Nothing of Millpond's is imported, so that every layer may import this one.
"""
