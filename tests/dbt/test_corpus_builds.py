"""What a build makes of small dbt projects of one feature each; `corpus/builds.yml` is the table."""

from __future__ import annotations

import pytest

from corpus_builds import FEATURES, build_feature
from millpond.runtime.home import Home
from small_projects import Write


@pytest.mark.parametrize("feature", FEATURES)
def test_a_build_of_a_feature_comes_out_as_the_table_says(
    feature: str, write_project: Write, home: Home
) -> None:
    build_feature(FEATURES[feature], write_project)
