"""The version of a home's state in Postgres, and the steps that bring an older one to this release's."""
