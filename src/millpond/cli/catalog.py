"""`millpond catalog`: tokens of the Iceberg REST catalog, and serving it to other machines' programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import datetime as dt

    from millpond.lake.tokens import Grant, Scope

app = typer.Typer(
    no_args_is_help=True, help="The Iceberg REST catalog: tokens for other programs, and serving it."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_LONGEST_DAYS = 366


@app.command()
def token(
    scope: Annotated[str, typer.Option("--scope", help="read, or write, which reads too.")] = "read",
    expires: Annotated[str, typer.Option("--expires", help="How long it is valid: 8h, 30d.")] = "8h",
    name: Annotated[str, typer.Option("--name", help="What it is for; the history of a ref names it.")] = "",
    ref: Annotated[
        str | None, typer.Option("--ref", help="The one branch that it is for; default: every one.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", help="The one namespace that it is for, such as gold.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a token for another program and print it. It is not stored and cannot be printed again.

    A token that writes changes tables without the checks of a run: give it a branch of its own, and merge
    that.

    Example: millpond catalog token --scope write --ref dev --expires 8h --name spark
    """
    from millpond.cli import output
    from millpond.lake import tokens

    wanted, lifetime = _read_scope(scope), _read_lifetime(expires)
    if namespace is not None:
        _check_namespace(namespace, ref, wanted)
    granted, text = tokens.issue(wanted, lifetime, name=name, ref=ref, namespace=namespace)
    if as_json:
        output.print_json({**_as_dict(granted), "token": text.get_secret_value()})
    else:
        typer.echo(text.get_secret_value())
        typer.echo(f"{_describe(granted)}. Revoke it: millpond catalog revoke {granted.id}", err=True)


@app.command("tokens")
def list_(as_json: AsJson = False) -> None:
    """List the valid tokens that `millpond catalog token` created: what each may do, and until when.

    Example: millpond catalog tokens
    """
    from millpond.cli import output
    from millpond.lake.tokens import list_tokens

    found = list_tokens()
    if as_json:
        output.print_json([_as_dict(granted) for granted in found])
        return
    if not found:
        typer.echo("There are no tokens. Next: millpond catalog token")
        return
    rows = [
        (*(g.id, g.name, g.scope, g.ref or "all", g.namespace or "all"), f"{g.expires_at:%Y-%m-%d %H:%M} UTC")
        for g in found
    ]
    output.print_rows_as_table(("token", "name", "scope", "ref", "namespace", "expires"), rows)


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="Id of the token, as `millpond catalog tokens` lists it.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a token: the next request that carries it is refused.

    Example: millpond catalog revoke 3f9a1c27be04
    """
    from millpond.cli import output
    from millpond.lake import tokens

    gone = tokens.revoke(token)
    if as_json:
        output.print_json(_as_dict(gone))
    else:
        typer.echo(f"Revoked {_describe(gone)}")


@app.command()
def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than 127.0.0.1 are for containers.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", help="Port to listen on; default: MILLPOND_CATALOG_PORT.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Take writes of tokens that may write; by default, none.")
    ] = False,
) -> None:
    """Serve the catalog in the foreground, as a service for other programs; Ctrl-C ends it.

    It accepts the tokens of `millpond catalog token`. It is read-only unless --write, whatever the token.
    With the profile embedded this is not needed: `millpond up` serves the catalog.

    Example: millpond catalog serve --port 8181
    """
    from millpond.lake.rest_app import listen, serve_catalog
    from millpond.settings import settings

    with listen(host, settings().catalog_port if port is None else port) as listener:
        access = "read and write" if write else "read-only"
        typer.echo(f"Iceberg REST catalog on http://{host}:{listener.getsockname()[1]}, {access}")
        serve_catalog(listener, writes=write)


def _check_namespace(name: str, ref: str | None, scope: Scope) -> None:
    """Refuse a namespace that is not there; a token that writes may create it, which is said.

    Raises ConfigError, RefNotFound.
    """
    import difflib

    from millpond.lake.tokens import find_namespaces
    from millpond.naming import selection_error

    known = find_namespaces(ref)
    if name in known:
        return
    where = f"on {ref}" if ref else "on any ref"
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if scope == "read" or "." in name:
        raise selection_error(f"no namespace {where} is called {name!r}", near, known)
    guess = f" Did you mean {near[0]}?" if near else ""
    typer.echo(f"There is no namespace {name} {where} yet; this token may create it.{guess}", err=True)


def _read_scope(text: str) -> Scope:
    if text not in ("read", "write"):
        raise typer.BadParameter(f"{text!r} is no scope; it is read or write", param_hint="--scope")
    return text  # type: ignore[return-value]


def _read_lifetime(text: str) -> dt.timedelta:
    import datetime as dt

    from millpond.cli.arguments import parse_span

    found = parse_span(text)
    if not dt.timedelta(0) < found <= dt.timedelta(days=_LONGEST_DAYS):
        raise typer.BadParameter(f"a token is valid for at most {_LONGEST_DAYS}d, and more than 0m")
    return found


def _describe(granted: Grant) -> str:
    named = f" ({granted.name})" if granted.name else ""
    where = f" on {granted.ref}" if granted.ref else ""
    within = f" in {granted.namespace}" if granted.namespace else ""
    until = f", until {granted.expires_at:%Y-%m-%d %H:%M} UTC" if granted.expires_at else ""
    return f"token {granted.id}{named}: {granted.scope}{where}{within}{until}"


def _as_dict(granted: Grant) -> dict[str, object]:
    return {
        "id": granted.id,
        "name": granted.name,
        "scope": granted.scope,
        "ref": granted.ref,
        "namespace": granted.namespace,
        "created_at": granted.created_at,
        "expires_at": granted.expires_at,
    }
