"""The name that `dagster.yaml` of projects made before has for `millpond.instance.storage`."""

from millpond.instance.storage import HomeInstance, HomeStorage

__all__ = ["HomeInstance", "HomeStorage"]
