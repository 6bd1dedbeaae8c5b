"""Python of this project: `definitions` is what Dagster loads beside sources and models."""
