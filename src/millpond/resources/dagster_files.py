"""The name that `dagster.yaml` of projects made before has for `millpond.instance.files`."""

from millpond.instance.files import HomeArtifacts, HomeComputeLogs

__all__ = ["HomeArtifacts", "HomeComputeLogs"]
