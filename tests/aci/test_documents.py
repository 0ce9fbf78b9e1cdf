"""Keysets, receipts, sessions and custody read strictly: what has another form has a code, and never an exception."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from teeverify.errors import FormatError
from teeverify.formats.aci_custody import parse_custody
from teeverify.formats.aci_keyset import parse_keyset
from teeverify.formats.aci_receipt import parse_receipt, pinned_sessions
from teeverify.formats.aci_session import parse_session

from .test_vectors import KEYSET, RECEIPT, RECEIPT_KEY, SESSION
from .world import build

Edit = Callable[[dict[str, Any]], object]


def code(parse: Callable[[Any], object], base: dict[str, Any], edit: Edit) -> str:
    document = copy.deepcopy(base)
    edit(document)
    with pytest.raises(FormatError) as error:
        parse(document)
    return error.value.code


def put(path: str, value: Any) -> Edit:
    """Set a place given as a dotted path; ``...`` removes it."""

    def edit(document: Any) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in way:
            document = document[part]
        if value is ...:
            del document[last]
        else:
            document[last] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (put("not_after", ...), "keyset_shape"),
        (put("not_after", True), "keyset_shape"),
        (put("not_after", "1800000000"), "keyset_shape"),
        (put("not_after", 0), "keyset_shape"),
        (put("not_after", 2**53), "keyset_shape"),
        (put("subject", 5), "keyset_shape"),
        (put("receipt_signing_keys", {}), "keyset_shape"),
        (put("receipt_signing_keys", [{}] * 65), "keyset_shape"),
        (put("receipt_signing_keys.0", "key"), "keyset_shape"),
        (put("receipt_signing_keys.0.key_id", ""), "keyset_shape"),
        (put("receipt_signing_keys.0.algo", None), "keyset_shape"),
        (put("receipt_signing_keys.0.public_key", "00"), "wrong_length"),
        (put("receipt_signing_keys.0.public_key", RECEIPT_KEY.upper()), "keyset_shape"),
        (put("receipt_signing_keys.0.public_key", f"0x{RECEIPT_KEY[2:]}"), "not_hex"),
        (put("e2ee_public_keys", ...), "keyset_shape"),
        (put("tls_public_keys.0.spki_sha256", "c0"), "wrong_length"),
        (put("tls_public_keys.0.domain", 1), "keyset_shape"),
        (put("tls_public_keys.0.domain", ""), "keyset_shape"),
        (put("keyset_epoch", {"version": 1, "not_after": 1800000000}), "keyset_revision"),
        (put("workload_identity", {}), "keyset_revision"),
        (lambda d: d["receipt_signing_keys"].append({**d["receipt_signing_keys"][0]}), "keyset_key_repeated"),
    ],
)
def test_keysets_of_another_form(edit: Edit, expected: str) -> None:
    assert code(parse_keyset, KEYSET, edit) == expected


def _raw(key: Any) -> str:
    raw: bytes = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return raw.hex()


def _montgomery() -> str:
    """The X25519 key of the receipt key: (1 + y) / (1 - y)."""
    prime = 2**255 - 19
    y = int.from_bytes(bytes.fromhex(RECEIPT_KEY), "little") & ((1 << 255) - 1)
    return ((1 + y) * pow(1 - y, -1, prime) % prime).to_bytes(32, "little").hex()


SUITE: Final = "x25519-aes-256-gcm-hkdf-sha256"


@pytest.mark.parametrize(
    "edit",
    [
        put("e2ee_public_keys.0.public_key", RECEIPT_KEY),
        put("e2ee_public_keys.0.public_key", _montgomery()),
        put("e2ee_public_keys.0", {"key_id": "x", "algo": "unheard-of", "public_key": RECEIPT_KEY.upper()}),
        put("tls_public_keys.0.spki_sha256", RECEIPT_KEY),
        put("tls_public_keys.0.spki_sha256", KEYSET["e2ee_public_keys"][0]["public_key"]),
    ],
    ids=["same key", "same secret", "unknown algorithm", "TLS digest is the key", "TLS digest is the E2EE key"],
)
def test_a_key_in_two_roles_is_named(edit: Edit) -> None:
    document = copy.deepcopy(KEYSET)
    edit(document)
    assert parse_keyset(document).shared


def test_a_certificate_for_the_receipt_key_is_a_key_in_two_roles() -> None:
    key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(RECEIPT_KEY))
    wrapped = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    document = copy.deepcopy(KEYSET)
    document["tls_public_keys"][0]["spki_sha256"] = hashlib.sha256(wrapped).hexdigest()
    assert parse_keyset(document).shared == ("a receipt key is a TLS key as well",)


def test_the_birational_map_is_that_of_the_library() -> None:
    """Signing and agreement keys of one seed: RFC 7748's map gives the agreement key of the hashed seed."""
    seed = b"\2" * 32
    scalar = hashlib.sha512(seed).digest()[:32]
    assert _raw(x25519.X25519PrivateKey.from_private_bytes(scalar).public_key()) == _montgomery()


@pytest.mark.parametrize("form", ["uncompressed", "compressed"])
def test_secp256k1_keys_are_read_in_both_forms(form: str) -> None:
    point = build().keyset()["e2ee_public_keys"][1]["public_key"]
    shown = point if form == "uncompressed" else f"0{2 + int(point[-1], 16) % 2}{point[2:66]}"
    entry = {"key_id": "k", "algo": "secp256k1-aes-256-gcm-hkdf-sha256", "public_key": shown}
    assert len(parse_keyset({**KEYSET, "e2ee_public_keys": [entry]}).e2ee_keys) == 1
    wrong = {**entry, "public_key": "05" + shown[2:]}
    with pytest.raises(FormatError, match="another prefix"):
        parse_keyset({**KEYSET, "e2ee_public_keys": [wrong]})


def _event(**members: Any) -> dict[str, Any]:
    return {"type": "upstream.verified", "result": "verified", "required": True, "session_id": "00" * 32, **members}


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (put("api_version", "aci/2"), "receipt_version"),
        (put("api_version", ...), "receipt_version"),
        (put("served_at", 1.5), "receipt_shape"),
        (put("served_at", True), "receipt_shape"),
        (put("receipt_id", None), "receipt_shape"),
        (put("model", 5), "receipt_shape"),
        (put("chat_id", ""), "receipt_shape"),
        (put("key_id", ...), "receipt_shape"),
        (put("workload_keyset_digest", "53a5"), "not_a_digest"),
        (put("signature", "00" * 63), "wrong_length"),
        (put("signature", ...), "not_hex"),
        (put("event_log", {}), "receipt_events"),
        (put("event_log", []), "receipt_events"),
        (put("event_log", [{"type": "x"}] * 257), "receipt_events"),
        (put("event_log.0", "request.received"), "receipt_events"),
        (put("event_log.0.type", "request.seen"), "receipt_events"),
        (put("event_log.0.body_hash", "AB" * 32), "not_a_digest"),
        (put("event_log.0.body_hash", RECEIPT["event_log"][0]["body_hash"].upper()), "not_a_digest"),
        (put("event_log.3.body_hash", ...), "not_a_digest"),
        (lambda d: d["event_log"].insert(0, {"type": "routing.chosen"}), "receipt_events"),
        (lambda d: d["event_log"].insert(1, d["event_log"][0]), "receipt_events"),
        (lambda d: d["event_log"].insert(1, d["event_log"][1]), "receipt_events"),
        (lambda d: d["event_log"].append(d["event_log"][3]), "receipt_events"),
        (lambda d: d["event_log"].pop(), "receipt_events"),
        (lambda d: d["event_log"].append(d["event_log"][2]), "receipt_events"),
        (put("event_log.2", _event(session_id="00" * 31)), "receipt_events"),
        (put("event_log.2", _event(session_id="AA" * 32)), "receipt_events"),
        (put("event_log.2", _event(result="Verified")), "receipt_events"),
        (put("event_log.2", _event(result=["verified"])), "receipt_events"),
        (put("event_log.2", _event(required=1)), "receipt_events"),
        (put("future", 1.0), "json_number"),
    ],
)
def test_receipts_of_another_form(edit: Edit, expected: str) -> None:
    assert code(parse_receipt, RECEIPT, edit) == expected


def test_unknown_events_are_signed_and_mean_nothing() -> None:
    document = copy.deepcopy(RECEIPT)
    document["event_log"].insert(1, {"type": "routing.chosen", "body_hash": 5})
    document["event_log"].append({"type": "metering.done"})
    receipt = parse_receipt(document)
    assert b"routing.chosen" in receipt.signing_input
    assert len(receipt.upstream) == 1


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (put("api_version", "aci/2"), "session_version"),
        (put("established_at", "1750000000"), "session_shape"),
        (put("expires_at", True), "session_shape"),
        (put("expires_at", -1), "session_shape"),
        (put("claims", []), "session_shape"),
        (put("evidence", "none"), "session_evidence"),
        (put("evidence.digest", "00" * 32), "not_a_digest"),
        (put("evidence.digest", "sha256:" + "00" * 32), "session_evidence"),
        (put("evidence.data", ...), "session_evidence"),
        (put("evidence.data", "ZXhhbXBsZS1ldmlkZW5jZQ=="), "session_evidence"),
        (put("evidence.data", "data:text/plain;base64,ZXhhbXBsZS1ldmlkZW5jZQ"), "not_base64"),
        (put("claims.extra.temperature", 36.6), "json_number"),
    ],
)
def test_sessions_of_another_form(edit: Edit, expected: str) -> None:
    assert code(parse_session, SESSION, edit) == expected


@pytest.mark.parametrize("evidence", [None, {}])
def test_a_session_may_hold_no_evidence(evidence: object) -> None:
    assert parse_session({**SESSION, "evidence": evidence}).evidence_bytes == 0


@pytest.mark.parametrize("claim", [{"status": "asserted"}, {"status": "proven", "source": "hardware_proven"}, 1, None])
def test_a_claim_without_a_known_status_and_source_is_unknown(claim: object) -> None:
    document = {**SESSION, "claims": {"tee_attested": claim}}
    assert parse_session(document).claims[0].status == "unknown"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (put("provider", "other-kms"), "custody_shape"),
        (put("keys", {}), "custody_shape"),
        (put("keys", ["receipt"]), "custody_shape"),
        (put("keys.0.purpose", None), "custody_shape"),
        (put("keys.0.algo", "secp256k1"), "custody_shape"),
        (put("keys.0.public_key", "00"), "custody_shape"),
        (put("keys.0.kms_public_key", "05" + "00" * 32), "custody_shape"),
        (put("keys.0.kms_public_key", "02" + "00" * 31), "custody_shape"),
        (put("keys.0.signature_chain", ["00" * 65]), "chain_length"),
        (put("keys.0.signature_chain", ["00" * 65] * 3), "chain_length"),
        (put("keys.0.signature_chain", ["00" * 64] * 2), "custody_shape"),
    ],
)
def test_custody_of_another_form(edit: Edit, expected: str) -> None:
    document = build().custody.document()
    assert document is not None
    assert code(parse_custody, document, edit) == expected


def test_chains_of_other_roles_are_not_read() -> None:
    document = build().custody.document()
    assert document is not None
    document["keys"].append({"role": "e2ee-x25519", "signature_chain": "anything"})
    assert len(parse_custody(document)) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]", None),
        (b'{"provider": {"aci_verified": true}}', None),
        (b'{"provider": {"aci_session_ids": ["a", 1, "b"]}}', ("a", "b")),
        (b'{"provider": {"aci_session_ids": "a"}}', ()),
        (b'{"provider": {"aci_session_ids": null}}', ()),
    ],
)
def test_the_sessions_that_a_request_pins(body: bytes, expected: object) -> None:
    assert pinned_sessions(body) == expected


@pytest.mark.parametrize("body", [b"", b'{"prompt": "\\ud800"}', b'{"n": ' + b"1" * 51 + b"}", b'{"a": 1, "a": 2}'])
def test_a_request_that_cannot_be_read_is_not_known_to_accept_any_session(body: bytes) -> None:
    with pytest.raises(FormatError):
        pinned_sessions(body)
