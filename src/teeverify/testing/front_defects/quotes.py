"""Defects of the report as a document, of the challenge, of the keys and of the connection."""

from __future__ import annotations

import base64
from typing import Any, Final

from attrs import evolve

from teeverify.testing.front import FrontSession
from teeverify.testing.keys import spki

from .edits import bound, flipped, put
from .model import PROXY_FORM, FrontDefect, FrontSpoil, edited, raw, turned

__all__ = ["quote_defects"]

_FORM: Final = ("evidence.wellformed",)
_DEEP: Final = b'{"intel_quote":' + b"[" * 5000 + b"]" * 5000 + b"}"
_Row = tuple[int, str, str, FrontSpoil, tuple[str, ...]]


def _other_algorithm(session: FrontSession) -> None:
    signing = session.machines.model.signing
    other = "ed25519" if signing.algorithm == "ecdsa" else "ecdsa"
    session.machines.model.signing = evolve(signing, algorithm=other)


def _rival_copy(report: Any) -> None:
    copy = {name: value for name, value in report.items() if name != "all_attestations"}
    report["all_attestations"] = [copy, {**copy, "signing_address": "0x" + "ab" * 20}]


def _base64_quote(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


def _twice(body: bytes) -> bytes:
    return body.replace(b'{"signing_address"', b'{"quote":"","signing_address"', 1)


_ROWS: Final[tuple[_Row, ...]] = (
    (9, "quote-base64", "The quote is base64.", edited(put("intel_quote", _base64_quote)), _FORM),
    (9, "quote-0x", "The quote begins with 0x.", edited(put("intel_quote", lambda text: f"0x{text}")), _FORM),
    (9, "quote-garbage", "A byte follows the quote.", edited(put("intel_quote", lambda text: f"{text}ff")), _FORM),
    (9, "quote-list", "The quote is a list.", edited(put("intel_quote", lambda text: [text])), _FORM),
    (9, "nonce-number", "The echo of the nonce is a number.", edited(put("request_nonce", 7)), _FORM),
    (9, "member-twice", "A member stands in the report two times.", raw(_twice), _FORM),
    (9, "report-deep", "The report is nested 5000 deep.", raw(lambda _: _DEEP), _FORM),
    (
        9,
        "report-error",
        "The report is an error with status 200.",
        raw(lambda _: b'{"error":"model not found"}'),
        ("evidence.complete",),
    ),
    (9, "info-missing", "There is no info.", edited(lambda body: body.pop("info") and None), ("evidence.complete",)),
    (10, "echoes-differ", "Two echoes of the nonce differ.", edited(put("nonce", "ab" * 32)), _FORM),
    (
        12,
        "padding-filled",
        "Bytes that are not zero follow the address.",
        turned(bound(data=lambda own, nonce: own + b"\1" * 12 + nonce)),
        ("binding.report_data",),
    ),
    (
        12,
        "address-at-the-end",
        "The zeros stand before the address.",
        turned(bound(data=lambda own, nonce: bytes(12) + own + nonce)),
        ("binding.report_data",),
    ),
    (
        12,
        "address-other",
        "The report names another address.",
        edited(put("signing_address", "0x" + "ab" * 20)),
        ("binding.report_data",),
    ),
    (
        13,
        "public-key-short",
        "The public key lacks a byte.",
        edited(put("signing_public_key", lambda text: text[:-2])),
        _FORM,
    ),
    (
        13,
        "public-key-missing",
        "There is no public key.",
        edited(lambda body: body.pop("signing_public_key") and None),
        ("evidence.complete",),
    ),
    (
        14,
        "algorithm-other",
        "The report is of the algorithm that was not asked for.",
        turned(_other_algorithm),
        (*_FORM, "binding.signing_key", "binding.report_data"),
    ),
    (
        15,
        "quote-other-than-intel-quote",
        "Two members hold two quotes.",
        edited(put("quote", flipped(100))),
        _FORM,
    ),
    (15, "quote-object", "The second quote is an object.", edited(put("quote", {"hex": ""})), _FORM),
    (15, "rival-copy", "A copy of the record names another key.", edited(_rival_copy), ("binding.report_data",)),
    (56, "other-model", "The report is for another model.", edited(put("model", "other")), ("evidence.complete",)),
)
_BOUND: Final[tuple[_Row, ...]] = (
    (
        46,
        "fingerprint-other",
        "The report names the fingerprint of another key.",
        edited(put("tls_cert_fingerprint", "ab" * 32)),
        ("binding.report_data",),
    ),
    (
        46,
        "other-tls-key",
        "The connection ends at somebody else, with a good certificate, who passes genuine reports on.",
        turned(lambda session: setattr(session, "peer_spki", spki(session.behind.keys.p256("intruder/tls")))),
        ("channel.tls_spki",),
    ),
)


def quote_defects() -> tuple[FrontDefect, ...]:
    """All of them; they are in the form of a vllm-proxy's report."""
    rows = [_of(row, PROXY_FORM) for row in _ROWS]
    return (*rows, *(_of(row, ("vllm-proxy",), tls_bound=True) for row in _BOUND))


def _of(row: _Row, providers: tuple[str, ...], *, tls_bound: bool = False) -> FrontDefect:
    number, name, description, spoil, checks = row
    return FrontDefect(
        name=name, number=number, description=description, spoil=spoil, checks=frozenset(checks), providers=providers,
        tls_bound=tls_bound,
    )  # fmt: skip
