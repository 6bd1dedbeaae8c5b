"""Dashboards on the marts: Superset, its dashboards as files in git, and their check against the marts.

Start reading in `bundle`. What is in the folder `superset` is read by Superset's own Python.
"""
