"""Backups of a home: its databases, the files of the lake and the state of its other parts, in one folder.

Start reading in `create`; `restore` puts a backup into an empty home, `verification` into a temporary one.
"""
