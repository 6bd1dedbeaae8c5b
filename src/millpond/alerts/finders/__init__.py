"""What is worth an alert, read from Dagster's storage: one file for each thing that is looked for."""
