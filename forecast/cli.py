"""`millpond forecast`: the stages of a model as commands, and the models that they made."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from forecast.gate import add_gate
from forecast.pipeline import NAMES, STAGES, Stage

app = typer.Typer(
    no_args_is_help=True,
    help="Train, evaluate and package the models of forecast/config.\n\n"
    "A stage runs only if its inputs, parameters or code changed. Exit codes: 0 done, 1 data, training or "
    "model refused, 2 wrong usage.",
)

ConfigName = Annotated[str, typer.Option("--config", "-c", help="Name of a file in forecast/config.")]
Ref = Annotated[str | None, typer.Option("--ref", help="Branch to read; default: MILLPOND_REF.")]
Input = Annotated[
    Path | None, typer.Option("--input", "-i", help="Folder with the folders of earlier stages.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder to write the folder of this stage to.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines; progress on standard error.")]


def _add_stage(stage: Stage) -> None:
    @app.command(stage.name, help=f"{stage.description}\n\nExample: millpond forecast {stage.name}")
    def run(
        config: ConfigName = "glucose",
        input_: Input = None,
        output: Output = None,
        ref: Ref = None,
        as_json: AsJson = False,
    ) -> None:
        from forecast.places import find_places
        from forecast.run_stages import run_between, run_stage
        from forecast.spec import read_config
        from millpond.settings import settings

        declared = read_config(config)
        on, log = ref or settings().ref, partial(typer.echo, err=as_json)
        if input_ or output:
            given = input_ or output
            found = run_between(stage, declared, Path(given or "."), Path(output or given or "."), on, log)
        else:
            found = run_stage(stage, declared, find_places(config), on, log)
        if as_json:
            from millpond.cli import output as printed

            told = {"stage": stage.name, "reused": found.reused, "folder": str(found.folder)}
            printed.print_json({**told, "metadata": found.metadata})
            return
        typer.echo(f"{stage.name}: {'unchanged' if found.reused else 'done'}, {found.folder}")


for _stage in STAGES:
    _add_stage(_stage)


@app.command("run")
def run_all(config: ConfigName = "glucose", ref: Ref = None, as_json: AsJson = False) -> None:
    """Run the stages that are due, as one run that Dagster records; nothing runs if nothing changed.

    Example: millpond forecast run
    """
    from forecast.places import find_places
    from forecast.run_stages import read_unchanged
    from forecast.spec import read_config
    from millpond.settings import settings

    declared, on = read_config(config), ref or settings().ref
    unchanged, run_id = read_unchanged(declared, find_places(config), on), None
    if unchanged and not as_json:
        model = unchanged[NAMES.index("package")].metadata["folder"]
        typer.echo(f"nothing changed: no stage ran, {model} is the model of these inputs")
        return
    if not unchanged:
        from forecast.recorded_runs import run_recorded

        run_id = run_recorded(declared, on, partial(typer.echo, err=as_json))
    if as_json:
        from millpond.cli import output

        made = unchanged or read_unchanged(declared, find_places(config), on)
        model = made[NAMES.index("package")].metadata["folder"] if made else None
        output.print_json({"config": config, "run_id": run_id, "ran": run_id is not None, "model": model})
        return
    typer.echo(f"done (run {run_id}); `millpond forecast list` shows the model, which waits for approval")


add_gate(app)
