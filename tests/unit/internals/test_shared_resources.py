"""Contexts of a run without resources share an object, which is like those that Dagster makes for each."""

from __future__ import annotations

import pytest
from dagster._core.definitions.scoped_resources_builder import ScopedResourcesBuilder
from dagster._core.errors import DagsterUnknownResourceError

from millpond.internals.dagster_frame import share_empty_resources

NOTHING: frozenset[str] = frozenset()


def test_contexts_without_resources_share_an_object_that_is_like_dagsters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dagsters = ScopedResourcesBuilder({"lake": 1}).build(NOTHING)
    monkeypatch.setattr(ScopedResourcesBuilder, "build", ScopedResourcesBuilder.build)
    share_empty_resources()
    one, other = (ScopedResourcesBuilder({"lake": at}).build(NOTHING) for at in range(2))
    assert one is other
    assert one == dagsters
    assert one.original_resource_dict == {}
    with pytest.raises(DagsterUnknownResourceError):
        _ = one.lake


def test_contexts_with_resources_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScopedResourcesBuilder, "build", ScopedResourcesBuilder.build)
    share_empty_resources()
    found = ScopedResourcesBuilder({"lake": 1, "other": 2}).build({"lake"})
    assert found.lake == 1
    assert found.original_resource_dict == {"lake": 1}
    kept = ScopedResourcesBuilder({}, contains_generator=True)
    assert kept.build(NOTHING) is not kept.build(NOTHING)
