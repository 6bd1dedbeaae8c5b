"""One selection over one window becomes one Dagster run, in this process."""
