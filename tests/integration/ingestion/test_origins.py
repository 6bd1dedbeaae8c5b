"""Rows of two servers never meet in one home."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from fake_source import DAY, Answer, Entries, FakeSource, fake_source, reading
from millpond.cli.main import main
from millpond.errors import OriginChanged
from millpond.ingestion.reading import load_sources
from millpond.settings import Settings, settings
from source_tables import load_days, raw

Millpond = Callable[..., tuple[object, str]]


@pytest.fixture
def millpond(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_process: None
) -> Callable[..., tuple[object, str]]:
    def run(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["millpond", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out + printed.err

    return run


def test_a_server_that_moved_is_asked_once_a_person_accepts_it(
    server: FakeSource,
    configure: Callable[..., Settings],
    millpond: Millpond,
) -> None:
    server.serve = Entries([reading(1, DAY)])
    load_days(DAY)
    with fake_source() as other:
        other.serve = Entries([reading(2, DAY)])
        configure(greenhouse_url=f"{other.url}/")
        with pytest.raises(OriginChanged) as refused:
            load_days(DAY)
        assert other.requests == []
        assert "`millpond sources moved greenhouse`" in refused.value.next_step
        assert server.url.removeprefix("http://") in refused.value.what
        code, said = millpond("sources", "moved", "greenhouse")
        assert code == 0
        assert f"previously {server.url.removeprefix('http://')}" in said
        load_days(DAY)
        assert raw("_id") == ["20261101-0002"]
        assert "nothing to do" in millpond("sources", "moved", "greenhouse")[1]
    assert millpond("sources", "moved", "nothing")[0] == 2


def test_an_address_that_never_gave_a_row_is_no_origin(
    server: FakeSource, configure: Callable[..., Settings]
) -> None:
    """A typing mistake in the first address does not keep the right one out."""
    server.serve = Entries([reading(1, DAY)])
    with fake_source() as wrong:
        wrong.serve = lambda _: Answer(status=404)
        configure(greenhouse_url=wrong.url)
        assert load_days(DAY).failed
    configure(greenhouse_url=server.url)
    assert not load_days(DAY).failed


def test_the_origin_names_no_credential_and_heeds_neither_scheme_nor_port_of_it() -> None:
    from millpond.ingestion.origins import origin_of

    source = next(each for each in load_sources(settings()) if each.source == "greenhouse")
    configured = settings().model_copy(update={"sources": {"greenhouse": _Somewhere()}})
    addresses = {
        origin_of(source, source.tables[0], {"url": url, "user": None, "token": "secret"}, configured).address
        for url in (
            "http://me:secret@IOT.example.org",
            "https://iot.example.org:443",
            "https://iot.example.org?token=secret",
        )
    }
    assert addresses == {"iot.example.org"}
    as_user = origin_of(source, source.tables[0], {"url": "https://a.org/x", "user": "me"}, configured)
    assert as_user.address == "a.org/x as me"


class _Somewhere:
    url = "https://iot.example.org"
