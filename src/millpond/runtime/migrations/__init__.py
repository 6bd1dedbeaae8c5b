"""The version of a home's state in Postgres, and the steps that migrate an older one to this release.

Start reading in `migrate`; new steps go to the end of `STEPS` there.
"""
