"""What an automatic run is: one chain, its assets, one window of days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from millpond.automation.chains import Chain
from millpond.internals.dagster import MAX_RETRIES_TAG, RETRY_STRATEGY_TAG
from millpond.partitions import Window
from millpond.resources.run import partition_tags, window_of

CHAIN_TAG = "millpond/chain"
"""Run tag that names the chain; dagster.yaml lets one automatic run of a chain work at a time."""

_IF_THE_PROCESS_DIES = {MAX_RETRIES_TAG: "1", RETRY_STRATEGY_TAG: "ALL_STEPS"}
"""What a step raises, its own policy retries; dagster.yaml sees to that. Repeating a window is safe."""


def chain_tags(chain: Chain, window: Window | None) -> dict[str, str]:
    """Return the tags of a run of `chain` over `window`, which assets without partitions do not need."""
    return {CHAIN_TAG: chain.name, **_IF_THE_PROCESS_DIES, **(partition_tags(window) if window else {})}


def joined(requests: Sequence[dg.RunRequest], chains: Sequence[Chain]) -> list[dg.RunRequest]:
    """Return one request for each chain of what `requests` ask for: all its assets over all its days.

    An asset that belongs to no chain alone, a calendar, goes with each chain that reads it.
    What belongs to none is asked for as it was.
    """
    found = []
    for chain in chains:
        asked = [each for each in requests if chain.assets & set(each.asset_selection or ())]
        if asked:
            given = [each for each in requests if chain.given & set(each.asset_selection or ())]
            found.append(_of_chain(chain, [*asked, *given]))
    taken = {key for request in found for key in request.asset_selection or ()}
    for request in requests:
        if rest := set(request.asset_selection or ()) - taken:
            if reader := next((each for each in chains if rest & each.given), None):
                found.append(_of_chain(reader, [request]))
                taken |= rest
            else:
                found.append(request.with_replaced_attrs(asset_selection=sorted(rest)))
    return found


def _of_chain(chain: Chain, requests: Sequence[dg.RunRequest]) -> dg.RunRequest:
    mine = chain.assets | chain.given
    checks = [check for each in requests for check in each.asset_check_keys or ()]
    return requests[0].with_replaced_attrs(
        asset_selection=sorted(
            {key for each in requests for key in each.asset_selection or () if key in mine}
        ),
        asset_check_keys=sorted({check for check in checks if check.asset_key in mine}),
        partition_key=None,
        tags=chain_tags(chain, _hull(each.tags for each in requests)),
    )


def _hull(tags: Iterable[Mapping[str, str]]) -> Window | None:
    """Return the window from the first to the last day."""
    windows = [window for each in tags if (window := window_of(each))]
    return Window(min(w.start for w in windows), max(w.end for w in windows)) if windows else None
