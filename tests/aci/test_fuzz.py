"""Whatever stands in a leaf of an answer: never an exception, and never VERIFIED unless nobody reads that leaf."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

import pytest

from teeverify.testing.aci import ACI_HOST
from teeverify.testing.recording import edit_json
from teeverify.verdict import Outcome

from .world import REJECTED, Service, build, chat, judge, verifier

Path = tuple[Any, ...]
URL: Final = f"https://{ACI_HOST}/v1"
VALUES: Final[tuple[Any, ...]] = (None, True, 0, -1, 1.5, 2**70, "", "00", "\ud7ff", [], {}, [[]], {"a": 1})
SPOILT: Final[tuple[Any, ...]] = (..., None, 1.5, 2**70, "00", [], {"a": 1})
UNREAD: Final[tuple[Path, ...]] = (
    ("attestation", "source_provenance"),
    ("attestation", "evidence", "downstream_tls_binding"),
    ("attestation", "evidence", "key_custody", "keys", 0, "path"),
    ("service_capabilities",),
)
"""What a report says that nobody reads (serving only counts for exchanges)."""
OPTIONAL: Final[dict[Path, tuple[Any, ...]]] = {
    ("attestation", "evidence", "quote_report_data"): (None,),
    ("attestation", "evidence", "vm_config"): VALUES,
}
"""Parts that may be missing, or say nothing that would be compared."""


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place of a document, containers included."""
    if path:
        yield path
    if isinstance(value, dict):
        for name in value:
            yield from leaves(value[name], (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))


def put(document: Any, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for part in path[:-1]:
        place = place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


def _unread(path: Path) -> bool:
    return any(path[: len(prefix)] == prefix for prefix in UNREAD)


REPORT: Final = build().report()


@pytest.mark.parametrize("path", list(leaves(REPORT)), ids=lambda path: ".".join(map(str, path)))
def test_every_leaf_of_a_report(path: Path) -> None:
    kept = REPORT
    for part in path:
        kept = kept[part]
    start = sum(map(ord, str(path))) % len(VALUES)  # each place gets some of the values, all of them are used
    for value in (..., VALUES[start]):
        if value == kept and type(value) is type(kept):
            continue
        verdict = judge(_with_report(put(REPORT, path, value)))
        gone = value is ... or any(value is one for one in OPTIONAL.get(path, ()))
        free = _unread(path) or (path in OPTIONAL and gone)
        assert free or verdict.outcome is not Outcome.VERIFIED, (path, value)
        assert not _unread(path) or verdict.verified, (path, value)


BASE: Final = build().saved()


def _with_report(report: Any) -> dict[str, Any]:
    return edit_json(copy.deepcopy(BASE), "/aci/attestation", lambda _: report)


class Chat:
    """One exchange behind an aggregator, judged under an attestation that is made once."""

    def __init__(self) -> None:
        self.service = Service(serving="aggregator")
        self.exchange = chat(self.service)
        own = verifier(transport=self.service, url=URL)
        self.attestation = own.verify_attestation(self.exchange.model).require()
        paths = {name.partition("/")[0]: name for name in self.service.documents}
        self.receipt, self.session = paths["receipts"], paths["sessions"]

    def judge(self, path: str, document: Any) -> Outcome:
        kept = self.service.documents[path]
        self.service.documents[path] = document
        try:
            own = verifier(transport=self.service, url=URL)
            return own.verify_exchange(self.exchange, attestation=self.attestation).outcome
        finally:
            self.service.documents[path] = kept


CHAT: Final = Chat()
RECEIPT: Final = CHAT.service.documents[CHAT.receipt]
SESSION: Final = CHAT.service.documents[CHAT.session]


def test_the_truthful_chat_is_verified() -> None:
    assert CHAT.judge(CHAT.receipt, RECEIPT) is CHAT.judge(CHAT.session, SESSION) is Outcome.VERIFIED


@pytest.mark.parametrize("path", list(leaves(RECEIPT)), ids=lambda path: ".".join(map(str, path)))
def test_every_leaf_of_a_receipt(path: Path) -> None:
    """All of it is signed, so nothing may change."""
    for value in SPOILT:
        assert CHAT.judge(CHAT.receipt, put(RECEIPT, path, value)) is REJECTED


@pytest.mark.parametrize("path", list(leaves(SESSION)), ids=lambda path: ".".join(map(str, path)))
def test_every_leaf_of_a_session(path: Path) -> None:
    """All of it is hashed into the id."""
    for value in SPOILT:
        assert CHAT.judge(CHAT.session, put(SESSION, path, value)) is REJECTED
