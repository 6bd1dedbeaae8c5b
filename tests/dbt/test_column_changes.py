from __future__ import annotations

import pytest

from column_changes import live_through_column_changes
from millpond.runtime.home import Home
from small_projects import Write


@pytest.mark.slow
def test_columns_that_change_are_treated_as_the_config_says_until_a_full_refresh(
    write_project: Write, home: Home
) -> None:
    live_through_column_changes(write_project)
