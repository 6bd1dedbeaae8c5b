"""What Dagster runs stand on here: its storage, its instance, what a run knows of itself."""
