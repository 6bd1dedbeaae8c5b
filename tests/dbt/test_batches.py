"""What `transform.batches` relies on inside dbt; these fail when a new dbt changes it."""

from __future__ import annotations

import datetime as dt
import inspect
from types import SimpleNamespace

import pytz
from dbt.graph.selector import NodeSelector
from dbt.materializations.incremental.microbatch import MicrobatchBuilder
from dbt.task.build import BuildTask
from dbt.task.run import MicrobatchModelRunner

from millpond.transform.batches import select_only, use_one_batch

START, END = dt.datetime(2026, 3, 1, tzinfo=pytz.UTC), dt.datetime(2026, 3, 4, tzinfo=pytz.UTC)


def _builder() -> MicrobatchBuilder:
    config = SimpleNamespace(incremental_strategy="microbatch", batch_size="day")
    return MicrobatchBuilder(SimpleNamespace(unique_id="model.p.a_model", config=config), True, START, END)


def test_dbt_asks_one_method_for_the_batches_of_a_model() -> None:
    assert list(inspect.signature(MicrobatchBuilder.build_batches).parameters) == ["self", "start", "end"]
    assert "microbatch_builder.build_batches(start, end)" in inspect.getsource(
        MicrobatchModelRunner.get_batches
    )


def test_all_days_of_a_run_are_one_batch() -> None:
    with use_one_batch({}):
        assert _builder().build_batches(START, END) == [(START, END)]


def test_the_batch_of_a_model_that_looks_back_reaches_further() -> None:
    with use_one_batch({"model.p.a_model": 1}):
        assert _builder().build_batches(START, END) == [(START, END + dt.timedelta(days=1))]


def test_dbt_is_left_as_it_was() -> None:
    before = MicrobatchBuilder.build_batches
    with use_one_batch({}):
        pass
    assert MicrobatchBuilder.build_batches is before
    assert len(_builder().build_batches(START, END)) == 3


def test_dbt_asks_one_method_which_nodes_are_selected() -> None:
    assert list(inspect.signature(NodeSelector.get_selected).parameters) == [
        "self",
        "spec",
        "warn_on_no_nodes",
    ]
    assert "selector.get_selected(" in inspect.getsource(BuildTask.get_graph_queue)
    assert "self.get_selected(" in inspect.getsource(NodeSelector.get_graph_queue)


def test_exactly_the_nodes_that_are_named_are_selected_and_dbt_is_left_as_it_was() -> None:
    before = NodeSelector.get_selected
    selector = SimpleNamespace(filter_selection=lambda ids: ids)
    with select_only(["model.p.a_model"]):
        assert NodeSelector.get_selected(selector, None) == {"model.p.a_model"}
    assert NodeSelector.get_selected is before
