"""``policy pin --from-provider``: proposed by a provider, decided by a human, unseen by every verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

import pytest

from teeverify.cli import provider_pins
from teeverify.errors import TransportError
from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.providers import chutes_measurements
from teeverify.testing import ChutesSession, chutes_policy
from teeverify.testing.roots import write_roots
from teeverify.transport import MockTransport
from transport.parties import HOST, make_parties
from transport.servers import Server, always, answer

from .commands import Shown, run
from .measurement_lists import body, changed, listed, row

SESSION: Final = ChutesSession.build(instances=2, gpus=1)
BUILTIN: Final = Policy.builtin("chutes")
PIN: Final = ("policy", "pin", "--from-provider", "chutes")
Live = Callable[[Response | Exception], MockTransport]


def saved(folder: Path, rows: object) -> Path:
    path = folder / "measurements.json"
    path.write_bytes(body(rows))
    return path


def pinned(capsys: pytest.CaptureFixture[str], folder: Path, rows: object, *more: str | Path) -> Shown:
    return run(capsys, *PIN, "--measurements", saved(folder, rows), *more)


def verify(capsys: pytest.CaptureFixture[str], folder: Path, policy: str | Path) -> Shown:
    (folder / "session.json").write_text(json.dumps(SESSION.saved()), encoding="utf-8")
    write_roots(folder / "roots")
    return run(capsys, "verify", folder / "session.json", "-q", "--test-roots", folder / "roots", "--policy", policy)


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    """Lets the command talk to a function; returns the transport, which knows what was asked."""

    def start(given: Response | Exception) -> MockTransport:
        def send(request: Request) -> Response:
            if isinstance(given, Exception):
                raise given
            return given

        transport = MockTransport(send)

        def chosen(args: object) -> AbstractContextManager[MockTransport]:
            return nullcontext(transport)

        monkeypatch.setattr(provider_pins, "chosen_transport", chosen)
        return transport

    return start


def good(rows: object, kind: str = "application/json") -> Response:
    return Response(status=200, headers={"Content-Type": (kind,)}, body=body(rows))


# --- what is proposed -------------------------------------------------------------------------------------------------


def test_proposed_pins_verify_the_session_that_they_are_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "proposed.toml"
    shown = pinned(capsys, tmp_path, listed(SESSION), "--out", out, "--name", "mine")
    assert (shown.code, shown.out) == (0, "")
    assert "unsigned" in shown.err
    policy = Policy.load(out)
    assert (policy.name, policy.provider, policy.waivers, policy.instances) == ("mine", "chutes", (), "all")
    assert policy.pins["instance"].is_pinned
    assert {image.registers for image in policy.pins["instance"].base_images or ()} == {
        (one.guest.boot.mr_td, *one.guest.boot.registers()) for one in SESSION.instances
    }
    assert (policy.tcb.min_eval_number, policy.tcb.accept) == (BUILTIN.tcb.min_eval_number, ("UpToDate",))
    assert verify(capsys, tmp_path, out).code == 0


@pytest.mark.parametrize("register", ["mrtd", "RTMR0", "RTMR1", "RTMR2", "RTMR3"])
def test_another_register_verifies_nothing(register: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = "ab" * 48
    rows = [
        changed(one, mrtd=other) if register == "mrtd" else changed(one, {register: other}) for one in listed(SESSION)
    ]
    out = tmp_path / "proposed.toml"
    assert pinned(capsys, tmp_path, rows, "--out", out).code == 0
    shown = verify(capsys, tmp_path, out)
    assert shown.code == 1
    assert "pin.base_image" in shown.out


def test_what_the_text_says_of_every_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = BUILTIN.pins["instance"].base_images or ()
    ours = images[0]
    known = changed(
        row(SESSION.instances[0].guest.boot, version="1.3.0", name="renamed", gpu_count=8),
        {f"RTMR{index}": value.hex() for index, value in enumerate(ours.registers[1:]) if value is not None},
        mrtd=ours.mrtd.hex(),
    )
    sibling = changed(known, {"RTMR0": "cd" * 48}, name="4xh200", gpu_count=4)
    foreign = changed(known, {"RTMR3": "ef" * 48}, version="9.9.9")
    foreign_again = changed(foreign, name="alias")
    snp = {"version": "1.5.0", "name": "8xb200", "tee_type": "sev-snp"}
    shown = pinned(capsys, tmp_path, [known, sibling, foreign, foreign_again, snp])
    assert shown.code == 0
    assert "Left out row 5 (sek8s 1.5.0 8xb200)" in shown.err
    policy = Policy.from_toml(shown.out)
    assert policy.gpu.min_count == 4
    above = {
        line.split('"')[1]: before.strip()
        for before, line in zip(shown.out.splitlines(), shown.out.splitlines()[1:], strict=False)
        if line.startswith("  {label")
    }
    assert above["sek8s 1.3.0 renamed"].startswith(f'# In builtin:chutes as "{ours.label}".')
    assert above["sek8s 1.3.0 4xh200"].startswith("# NEW, not in builtin:chutes; all but RTMR0 is that of")
    assert above["sek8s 9.9.9 renamed"].startswith("# NEW, not in builtin:chutes; no image there has this software.")
    assert above["sek8s 9.9.9 renamed"].endswith('Listed as "sek8s 9.9.9 alias" too.')
    assert all(re.search(r"on \d{4}-\d\d-\d\d, unsigned", comment) for comment in above.values())
    header = shown.out.partition("\nname = ")[0]
    assert header.startswith("# PROPOSED")
    assert "unsigned word" in header
    assert "Proposed: 3, of which 1 in builtin:chutes and 2 NEW." in header
    assert f"not proposed here, listed no more or left out below: {len(images) - 1}:" in header
    assert all(f"#   - {image.label}\n" in header for image in images[1:])
    assert f"#   - {ours.label}\n" not in header
    assert 'row 5 (sek8s 1.5.0 8xb200): its tee_type is "sev-snp"' in header


def test_without_gpu_counts_the_shipped_demand_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [changed(one, gpu_count=None) for one in listed(SESSION)]
    assert Policy.from_toml(pinned(capsys, tmp_path, rows).out).gpu == BUILTIN.gpu


def test_a_file_name_stays_in_its_comment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"a\n[[waive]]{'.' * 90}.json"
    path.write_bytes(body(listed(SESSION)))
    shown = run(capsys, *PIN, "--measurements", path)
    assert shown.code == 0
    assert Policy.from_toml(shown.out).waivers == ()


# --- live -------------------------------------------------------------------------------------------------------------


def test_live_asks_one_thing_without_a_key(
    live: Live, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEEVERIFY_API_KEY", "key-of-the-caller")
    transport = live(good(listed(SESSION)))
    shown = run(capsys, *PIN)
    assert shown.code == 0
    assert len(Policy.from_toml(shown.out).pins["instance"].base_images or ()) == 2
    (asked,) = transport.requests
    assert (asked.method, asked.url) == ("GET", "https://api.chutes.ai/servers/tee/measurements")
    assert (asked.headers, asked.body) == ({"Accept": "application/json"}, None)


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (TransportError("https://api.chutes.ai refused the connection"), 3, "refused the connection"),
        (Response(status=503, headers={}, body=b"[]"), 3, "HTTP status 503"),
        (Response(status=302, headers={"Location": ("https://elsewhere.example",)}, body=b"[]"), 3, "status 302"),
        (good([], kind="text/html"), 3, "web page"),
        (Response(status=200, headers={}, body=b" " * (2 << 20)), 3, "bytes long"),
        (Response(status=200, headers={}, body=b"not json"), 4, "not JSON"),
        (good({"data": listed(SESSION)}), 4, "not a JSON list"),
        (good([]), 4, "no row that can be pinned"),
    ],
)
def test_live_answers_that_are_of_no_use(
    given: Response | Exception, code: int, words: str, live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live(given)
    shown = run(capsys, *PIN, "--out", tmp_path / "out.toml")
    assert shown.code == code
    assert words in shown.sentence()
    assert not (tmp_path / "out.toml").exists()


@pytest.mark.loopback
def test_live_over_https(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    url = f"https://{HOST}/servers/tee/measurements"
    monkeypatch.setattr(chutes_measurements, "MEASUREMENTS_URL", url)
    parties = make_parties(tmp_path)
    with Server(always(answer(body(listed(SESSION)), "Content-Type: application/json")), parties.good.context()) as one:
        there = ("--connect-to", f"127.0.0.1:{one.port}")
        shown = run(capsys, *PIN, *there, "--ca", parties.ca_file)
        assert shown.code == 0
        assert len(Policy.from_toml(shown.out).pins["instance"].base_images or ()) == 2
        (request,) = one.heard
        assert request.startswith(b"GET /servers/tee/measurements HTTP/1.1\r\n")
        assert b"authorization" not in request.lower()
        untrusted = run(capsys, *PIN, *there)
        assert untrusted.code == 3
        assert "certificate" in untrusted.sentence()
        assert len(one.heard) == 1


# --- usage ------------------------------------------------------------------------------------------------------------


def test_rows_of_which_none_can_be_pinned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [changed(one, {"RTMR3": "0" * 96}) for one in listed(SESSION)]
    shown = pinned(capsys, tmp_path, rows, "--out", tmp_path / "out.toml")
    assert (shown.code, shown.out) == (4, "")
    first, second, last = shown.err.splitlines()
    assert first.startswith("Left out row 1 (")
    assert second.startswith("Left out row 2 (")
    assert "nothing was written" in last
    assert not (tmp_path / "out.toml").exists()


def test_a_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "long").write_bytes(b" " * (2 << 20))
    for path, words in ((tmp_path, "cannot be read"), ("no\0file", "cannot be read"), (tmp_path / "long", "at most")):
        shown = run(capsys, *PIN, "--measurements", path)
        assert shown.code == 4
        assert words in shown.sentence()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to pin from"),
        (["--from-provider", "no-such"], "no verifier for provider"),
        (["--from-provider", "near"], "publishes no list"),
        (["s.json", "--from-provider", "chutes"], "a saved report does not go with"),
        (["--from-provider", "chutes", "--test-roots", "d"], "--test-roots does not go with"),
        (["s.json", "--measurements", "f"], "--measurements goes with --from-provider only"),
        (["s.json", "--connect-to", "a:1"], "--connect-to goes with"),
        (["s.json", "--ca", "f"], "--ca goes with"),
        (["--from-provider", "chutes", "--measurements", "f", "--connect-to", "a:1"], "leave one out"),
        (["--from-provider", "chutes", "--measurements", "f", "--ca", "f"], "leave one out"),
        *(
            (["--from-provider", "chutes", "--connect-to", place], "ADDRESS:PORT was expected")
            for place in ("nowhere", ":443", "a:", "a:0", "a:65536", "a:\u00b2", f"a:{'9' * 5000}", "a:-1")
        ),
        (["--from-provider", "chutes", "--ca", "no-such-file"], "CA file cannot be read"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_arguments_that_do_not_go_together(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run(capsys, "policy", "pin", *arguments)
    assert shown.code == 2
    assert words in shown.sentence()


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "no" / "folder.toml"
    shown = pinned(capsys, tmp_path, listed(SESSION), "--out", out)
    assert shown.code == 2
    assert str(out) in shown.sentence()


# --- no verdict knows of it -------------------------------------------------------------------------------------------


def test_a_proposal_changes_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list that was pinned from is not remembered: only the policy that is named counts."""
    mine = tmp_path / "mine.toml"
    mine.write_text(chutes_policy(SESSION), encoding="utf-8")
    before = verify(capsys, tmp_path, mine), verify(capsys, tmp_path, "builtin:chutes")
    rows = [changed(one, mrtd="ab" * 48) for one in listed(SESSION)]
    assert pinned(capsys, tmp_path, rows, "--out", tmp_path / "proposed.toml").code == 0
    assert (verify(capsys, tmp_path, mine), verify(capsys, tmp_path, "builtin:chutes")) == before
    assert [shown.code for shown in before] == [0, 1]
