"""Finds what needs an alert in Dagster's storage and in notices; one file for each kind of finding.

Start reading in `find`.
"""
