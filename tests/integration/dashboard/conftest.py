"""The pages of these tests."""

from shown_pages import show

__all__ = ["show"]
