"""Transform: the dbt project built on a branch of the lake, audited there, and merged."""
