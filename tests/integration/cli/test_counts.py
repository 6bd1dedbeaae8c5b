"""What a load counts beside the rows it loads is printed by each command that loads, and is in its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

from fake_source import DAY, Entries, fake_source, reading
from millpond.backfill.pieces import COUNT_METADATA
from millpond.settings import Settings

Run = Callable[..., tuple[int, str, str]]
RAW = "dlt_climate_entries"


def test_materialize_and_backfill_print_each_count_of_a_load_for_people_and_machines(
    home: object, configure: Callable[..., Settings], run: Run
) -> None:
    rows = [reading(n) for n in range(300)]
    rows[0:2] = [reading(n, lux=2000) for n in range(2)]
    rows[2:5] = [reading(n, direction="Sideways") for n in range(2, 5)]
    rows[5:9] = [reading(n, lux=5) for n in range(5, 9)]
    rows[280:] = [reading(n - 270) for n in range(280, 285)]
    counts = {"quarantined": 2, "nulled": 3, "no_value": 4, "duplicates": 5}
    said = "2 quarantined, 3 invalid values became null, 4 codes for no value, 5 duplicates dropped"
    with fake_source() as source:
        configure(greenhouse_url=source.url)
        source.serve = Entries(rows)
        code, out, err = run("materialize", RAW, "-p", str(DAY))
        assert (code, said in " ".join(out.split())) == (0, True), out + err
        (asset,) = json.loads(run("materialize", RAW, "-p", str(DAY), "--json")[1])["assets"]
        assert {name: asset["numbers"][COUNT_METADATA[name]] for name in counts} == counts
        backfill = ("backfill", RAW, "--partitions", str(DAY), "--force")
        code, out, err = run(*backfill)
        assert (code, " ".join(out.split()).count(said)) == (0, 2), out + err
        document = json.loads(run(*backfill, "--json")[1])
        assert {name: document[name] for name in counts} == counts
        assert {name: document["partitions"][0][name] for name in counts} == counts
