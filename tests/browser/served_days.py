"""The days that the source of the browser tests serves."""

import datetime as dt

from millpond.partitions import Window, latest_complete_day
from millpond.settings import settings

_NEWEST = latest_complete_day(settings().zone)
WEEK = Window.of_days(_NEWEST - dt.timedelta(days=6), _NEWEST)
READINGS = 288
BAD = WEEK.start - dt.timedelta(days=1)
"""A day with more bad rows than the contract of the source lets pass."""
