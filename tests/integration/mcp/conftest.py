"""The lake of these tests."""

from sensitive_lake import lake

__all__ = ["lake"]
