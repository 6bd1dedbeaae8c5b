"""What is worth an alert, read from Dagster's storage and from notices; one file for each kind of finding.

Start reading in `find`.
"""
