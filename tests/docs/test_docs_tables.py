"""Tables of the documentation are what the code is."""

import inspect
import json
import re

import pytest
from pages import text_of

from teeverify.cache import VerdictCache
from teeverify.exchange import Exchange
from teeverify.flow import Request
from teeverify.limits import MAX_ACCEPTED_CHATS
from teeverify.providers.near import NearVerifier
from teeverify.render.json_document import exchange_document
from teeverify.requests_transport import RequestsTransport
from teeverify.saved import SavedReport
from teeverify.testing import SimulatedTee
from teeverify.testing.simulation import FAULTS
from teeverify.testing.simulation.faults.transport import TRICKS

GROUPS = ("provider", "intel", "nvidia")


def rows(name: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose head begins with that column."""
    lines = text_of(name).splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.startswith(f"| {first_column} |")]
    body = lines[head + 2 :]
    end = next((number for number, line in enumerate(body) if not line.startswith("|")), len(body))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in body[:end]]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w[\w.-]*)", cell)


OUTCOMES = {
    f"{group}-{names(row[0])[0]}": word
    for row in rows("docs/live-transport.md", "Fault")
    for group, word in zip(GROUPS, row[2:], strict=True)
}
UNDECIDED = [name for name in OUTCOMES if name in FAULTS and len(FAULTS[name].outcomes) > 1]
"""Faults of which a client may make one thing or another; of all others tests/live demands the one outcome."""


def test_the_table_of_failures_is_whole() -> None:
    assert set(OUTCOMES) == {f"{group}-{trick}" for group in GROUPS for trick in TRICKS}
    assert not [name for name, word in OUTCOMES.items() if word not in FAULTS[name].outcomes]


@pytest.mark.loopback
def test_the_table_of_failures_says_what_happens() -> None:
    found: dict[str, str] = {}
    with SimulatedTee.near(gpus=1) as tee:
        for name in UNDECIDED:
            tee.set_fault(name)
            with tee.transport(read_timeout=0.3, total_timeout=1.0, sleep=lambda seconds: None) as transport:
                verifier = NearVerifier(tee.policy, roots=tee.roots, transport=transport, api_key=tee.api_key)
                found[name] = verifier.verify_attestation(tee.model).outcome.value
    assert found == {name: OUTCOMES[name] for name in UNDECIDED}


def test_the_settings_of_the_transport() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(RequestsTransport.__init__).parameters.items()
        if name not in ("self", "sleep")
    }
    table = {names(row[0])[0]: row[1] for row in rows("docs/live-transport.md", "Argument")}
    assert set(table) == set(defaults)
    for name, value in defaults.items():
        assert value is None or float(table[name]) == value, name


def test_the_arguments_of_the_simulation() -> None:
    parameters = inspect.signature(SimulatedTee.near).parameters
    told = [name for row in rows("docs/test-your-integration.md", "Argument") for name in names(row[0])]
    assert sorted(told) == sorted(parameters)
    members = [name for row in rows("docs/test-your-integration.md", "Member") for name in names(row[0])]
    assert not [name for name in members if not hasattr(SimulatedTee, name) and name != "log"]


@pytest.mark.loopback
def test_the_document_of_an_exchange_and_its_place_in_a_report() -> None:
    with SimulatedTee.near(gpus=1) as tee, tee.transport() as transport:
        verifier = NearVerifier(tee.policy, roots=tee.roots, transport=transport, api_key=tee.api_key)
        body = json.dumps({"model": tee.model, "messages": [{"role": "user", "content": "Hello"}]}).encode()
        url = f"{verifier.origin}/v1/chat/completions"
        response = transport.send(Request(method="POST", url=url, body=body, limit=1 << 20))
        exchange = Exchange(model=tee.model, request_body=body, response_body=response.body)
        judged = verifier.verify_exchange(exchange).require()
    page = text_of("docs/outcomes.md")
    section = page[page.index("## The document of an exchange") : page.index("## In Python")]
    told = {name for row in section.splitlines() if row.startswith("| `") for name in names(row.split("|")[1])}
    assert told == set(exchange_document(judged))
    assert judged.evidence is not None
    saved = json.loads(judged.evidence.to_bytes())
    told = {names(row[0])[0] for row in rows("docs/saved-reports.md", "Member of `exchange`")}
    assert told == set(saved["exchange"])
    assert SavedReport.from_bytes(judged.evidence.to_bytes()).exchange == exchange


def test_numbers_that_are_written_out() -> None:
    limits = {name: one.default for name, one in inspect.signature(VerdictCache.__init__).parameters.items()}
    page = text_of("docs/verify-before-you-send.md")
    assert f"| VERIFIED | {limits['ttl']:g} seconds" in page
    assert f"| REJECTED | {limits['rejected_ttl']:g} seconds" in page
    assert f"{limits['backoff']:g} second after the first" in page
    assert f"{limits['max_backoff']:g} at most" in page
    assert f"the latest {MAX_ACCEPTED_CHATS} exchanges" in " ".join(text_of("docs/verify-a-response.md").split())
