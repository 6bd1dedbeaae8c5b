"""`millpond forecast list | compare | approve | rollback | status`: what a person sees and decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from forecast.registry import Decision

ConfigName = Annotated[str, typer.Option("--config", "-c", help="Name of a file in forecast/config.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Hash = Annotated[str, typer.Argument(metavar="HASH", help="A model, by the beginning of its hash.")]
By = Annotated[str, typer.Option("--by", help="Who decides.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]


def add_gate(app: typer.Typer) -> None:
    """Add the commands of the gate to `app`."""
    for command in (list_, compare, approve, rollback, status):
        app.command(command.__name__.rstrip("_"))(command)


def list_(config: ConfigName = "glucose", as_json: AsJson = False) -> None:
    """List the models, the latest last: hash, state, data, metrics, and what blocked one.

    Example: millpond forecast list --json
    """
    from forecast.places import find_places, list_models
    from forecast.registry import find_state, read_decisions
    from forecast.spec import read_config
    from millpond.cli import output

    declared = read_config(config)
    decisions = read_decisions(config)
    models = [(model, find_state(model, decisions)) for _, model in list_models(find_places(config))]
    if as_json:
        output.print_json(
            [
                {
                    "hash": model.hash,
                    "state": state,
                    "data_until": model.lineage.last,
                    "metrics": model.metrics,
                    "blocked": model.blocked,
                }
                for model, state in models
            ]
        )
        return
    if not models:
        output.make_console().print(f"there is no model yet: millpond forecast run --config {config}")
        return
    baselines = [each.kind for each in declared.baselines]
    columns = ("model", "state", "data until", "mae", "r2", *baselines, "blocked by")
    rows = [
        (
            *(model.short, state, (model.lineage.last or "")[:10]),
            *(_show(model.metrics.get(name)) for name in ("mae", "r2")),
            *(_show(model.metrics.get(f"baseline.{name}.mae")) for name in baselines),
            "; ".join(model.blocked),
        )
        for model, state in models
    ]
    output.print_rows_as_table(columns, rows)


def compare(one: Hash, other: Hash, config: ConfigName = "glucose", as_json: AsJson = False) -> None:
    """Compare two models: their metrics and data, and the parameters that differ.

    Example: millpond forecast compare A B
    """
    from forecast.registry import find_model, find_state, read_decisions
    from millpond.cli import output

    decisions = read_decisions(config)
    models = [find_model(config, start) for start in (one, other)]
    sides = [{"state": find_state(model, decisions), **_flatten(model)} for model in models]
    names: list[str] = list(dict.fromkeys(name for side in sides for name in side))
    rows = [(name, *(side.get(name) for side in sides)) for name in names]
    if as_json:
        output.print_json(
            {model.hash: side for model, side in zip(models, sides, strict=True)}
            | {"differs": [name for name, a, b in rows if a != b]}
        )
        return
    shown = [row for row in rows if row[1] != row[2] or not str(row[0]).startswith("identity.")]
    columns = ("what", *(model.short for model in models), "")
    output.print_rows_as_table(
        columns, [(name, _show(a), _show(b), "" if a == b else "≠") for name, a, b in shown]
    )


def approve(
    model: Hash, config: ConfigName = "glucose", by: By = "", reason: Reason = "", as_json: AsJson = False
) -> None:
    """Have a model serve from now on. Its files are checked first; the decision is recorded.

    Days that another model forecast stay as they are, and are stale: a backfill makes them again.

    Example: millpond forecast approve HASH --by ada --reason "better than the model before"
    """
    from forecast.registry import approve as approve_model

    _tell(approve_model(config, model, by=by, reason=reason), as_json)


def rollback(
    config: ConfigName = "glucose", by: By = "", reason: Reason = "", as_json: AsJson = False
) -> None:
    """Have the model that served before serve again. The decision is recorded.

    Example: millpond forecast rollback --by ada --reason "too many false alarms"
    """
    from forecast.registry import roll_back

    _tell(roll_back(config, by=by, reason=reason), as_json)


def status(config: ConfigName = "glucose", as_json: AsJson = False) -> None:
    """Show which model serves, which ones wait for a decision, and every decision.

    Example: millpond forecast status --json
    """
    from forecast.places import find_places, list_models
    from forecast.registry import find_serving, find_state, read_decisions
    from forecast.spec import read_config
    from millpond.cli import output

    name = read_config(config).name
    decisions = read_decisions(name)
    serving = find_serving(decisions)
    models = [(model, find_state(model, decisions)) for _, model in list_models(find_places(name))]
    if as_json:
        output.print_json(
            {
                "config": name,
                "serving": serving,
                "models": {model.hash: state for model, state in models},
                "decisions": decisions,
            }
        )
        return
    console = output.make_console()
    if serving:
        console.print(
            f"{name}: model {serving.short} serves, approved by {serving.decided_by}: {serving.reason}"
        )
    else:
        console.print(f"{name}: no model is approved, so nothing is forecast")
    waiting = [model.short for model, state in models if state == "waiting"]
    for short in waiting:
        console.print(f"  waits: millpond forecast approve {short} --config {name} --by NAME --reason …")
    if not (waiting or models):
        console.print(f"  there is no model yet: millpond forecast run --config {name}")
    if decisions:
        columns = ("number", "at", "decision", "model", "by", "reason")
        rows = [(d.number, d.shown_at, d.action, d.short, d.decided_by, d.reason) for d in decisions]
        output.print_rows_as_table(columns, rows)


def _tell(decision: Decision, as_json: bool) -> None:
    """Report a decision to Dagster, and print it."""
    from forecast.approved import record_approved
    from forecast.serving import NAME
    from millpond.cli import output
    from millpond.instance.home import open_instance

    with open_instance() as instance:
        record_approved(instance, decision.name)
    if as_json:
        output.print_json(decision)
        return
    console = output.make_console()
    console.print(f"model {decision.short} of {decision.name} serves from now on")
    if decision.name == NAME:
        console.print(
            "days that another model forecast are stale, and stay as they are until you make them again:"
        )
        console.print('  millpond backfill "fct_glucose_forecast*" --stale --dry-run')


def _flatten(model: Any) -> dict[str, Any]:
    """Return what the manifest of a model says, in one level."""
    found: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                add(f"{name}.{key}" if name else str(key), each)
        else:
            found[name] = value

    shown = model.model_dump(mode="json", exclude={"hash", "files", "features"})
    add("", {"metrics": shown.pop("metrics"), **shown})
    return found


def _show(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value if value is None else str(value)
