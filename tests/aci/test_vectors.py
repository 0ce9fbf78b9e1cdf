"""The public vectors of the ACI specification: keyset digest, statement, session id, receipt."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import pytest

from teeverify.crypto.signatures import verify_ed25519
from teeverify.errors import FormatError
from teeverify.formats.aci_keyset import parse_keyset, statement_digest
from teeverify.formats.aci_receipt import parse_receipt
from teeverify.formats.aci_session import parse_session
from teeverify.formats.canonical_json import jcs

RECEIPT_KEY: Final = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
E2EE_KEY: Final = "5dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22"
KEYSET_DIGEST: Final = "sha256:53a5cd44b30dcc51999754c719f2628a041f174ecbf9662a6f8e898a10cd9371"
SESSION_ID: Final = "95ad1cb4dd25445808c2e9d116caf420b05703730b506395e8fc1ca6faeae28f"
KEYSET: Final[dict[str, Any]] = {
    "subject": "dstack-app://example-app",
    "not_after": 1800000000,
    "receipt_signing_keys": [{"key_id": "receipt-1", "algo": "ed25519", "public_key": RECEIPT_KEY}],
    "e2ee_public_keys": [{"key_id": "e2ee-1", "algo": "x25519-aes-256-gcm-hkdf-sha256", "public_key": E2EE_KEY}],
    "tls_public_keys": [{"spki_sha256": "c0" * 32, "domain": "api.example.com"}],
}
UNKNOWN: Final = {"status": "unknown"}
SESSION: Final[dict[str, Any]] = {
    "api_version": "aci/1",
    "upstream_name": "demo-upstream",
    "endpoint": "https://upstream.example.com",
    "verifier_id": "example/1",
    "established_at": 1750000000,
    "expires_at": 1750003600,
    "channel_binding": [
        {"type": "tls_spki_sha256", "origin": "https://upstream.example.com", "spki_sha256": "d1" * 32}
    ],
    "claims": {
        "tee_attested": {"status": "asserted", "source": "hardware_proven", "reason": "example quote verified"},
        "gpu_attested": UNKNOWN,
        "tcb_up_to_date": UNKNOWN,
        "os_known_good": UNKNOWN,
        "serving_software_known_good": UNKNOWN,
        "model_weights_provenance": UNKNOWN,
        "extra": {"tcb_status": "UpToDate", "gpu_arch": "HOPPER"},
    },
    "evidence": {
        "digest": f"sha256:{hashlib.sha256(b'example-evidence').hexdigest()}",
        "data": "data:text/plain;base64,ZXhhbXBsZS1ldmlkZW5jZQ==",
    },
}
REQUEST: Final = b'{"messages":[{"content":"hi","role":"user"}],"model":"demo-model"}'
RESPONSE: Final = b'{"choices":[],"id":"chatcmpl-123"}'
RECEIPT: Final[dict[str, Any]] = {
    "api_version": "aci/1",
    "receipt_id": "rcpt-0001",
    "chat_id": "chatcmpl-123",
    "model": "demo-model",
    "workload_keyset_digest": KEYSET_DIGEST,
    "endpoint": "/v1/chat/completions",
    "method": "POST",
    "served_at": 1750000000,
    "event_log": [
        {"type": "request.received", "body_hash": f"sha256:{hashlib.sha256(REQUEST).hexdigest()}"},
        {"type": "request.forwarded", "body_hash": f"sha256:{hashlib.sha256(REQUEST).hexdigest()}"},
        {
            "type": "upstream.verified",
            "result": "verified",
            "required": True,
            "model_id": "demo-model",
            "session_id": SESSION_ID,
        },
        {"type": "response.returned", "body_hash": f"sha256:{hashlib.sha256(RESPONSE).hexdigest()}"},
    ],
    "key_id": "receipt-1",
    "signature": "d5b005e093bde3b577faf270b7184b09e169cacb0ecb206b103bd2581f997db0"
    "3da616175454b063323a23ac1dc68f1ce506c2a6eba8aa0561d5e724f0b80c03",
}


def test_the_keyset_has_its_digest() -> None:
    keyset = parse_keyset(KEYSET)
    assert keyset.digest == KEYSET_DIGEST
    assert keyset.receipt_keys[0].public_key.hex() == RECEIPT_KEY
    assert keyset.e2ee_keys[0].public_key.hex() == E2EE_KEY
    assert keyset.shared == ()


def test_the_statement_gives_report_data() -> None:
    expected = "df2174d28130852b413646a3786927b93e94c11d770268b65def8bdba45cb49e"
    assert statement_digest(KEYSET_DIGEST, bytes(range(32))).hex() == expected


def test_the_statement_without_a_nonce_is_another_one() -> None:
    statement = {"purpose": "aci.report_data.v1", "nonce": None, "keyset_digest": KEYSET_DIGEST}
    expected = "0633919ca3f00e97bafaa3304278eb22420cc3ff0d19f87dfca2d3f7508150bc"
    assert hashlib.sha256(jcs(statement)).hexdigest() == expected


def test_the_session_has_its_id_and_its_evidence() -> None:
    session = parse_session(SESSION)
    assert (session.id, session.evidence_bytes) == (SESSION_ID, 16)
    assert (session.established_at, session.expires_at) == (1750000000, 1750003600)
    first, *others = session.claims
    assert (first.name, first.status, first.source) == ("tee_attested", "asserted", "hardware_proven")
    assert {claim.status for claim in others} == {"unknown"}


def test_the_receipt_has_its_signature() -> None:
    receipt = parse_receipt(json.loads(json.dumps(RECEIPT, indent=3)))
    expected = "1bd328e6880a5a12b3915af95ea32111310e04ab9e21ac3d71ce268e33b965c9"
    assert hashlib.sha256(receipt.signing_input).hexdigest() == expected
    assert verify_ed25519(bytes.fromhex(RECEIPT_KEY), receipt.signature, receipt.signing_input)
    assert receipt.request_digest == receipt.forwarded_digest == hashlib.sha256(REQUEST).digest()
    assert receipt.response_digest == hashlib.sha256(RESPONSE).digest()
    assert receipt.session_id == SESSION_ID


def test_members_that_are_not_known_count_for_the_digest() -> None:
    more = parse_keyset({**KEYSET, "future": {"b": [1, None], "a": "\u00e9"}})
    assert more.digest == f"sha256:{hashlib.sha256(jcs({**KEYSET, 'future': {'a': 'é', 'b': [1, None]}})).hexdigest()}"
    assert more.digest != KEYSET_DIGEST


def test_an_unknown_algorithm_counts_for_the_digest_and_for_nothing_else() -> None:
    entry = {"key_id": "pq-1", "algo": "ml-dsa-65", "public_key": "00" * 1952, "level": 3}
    keyset = parse_keyset({**KEYSET, "receipt_signing_keys": [*KEYSET["receipt_signing_keys"], entry]})
    assert [key.key_id for key in keyset.receipt_keys] == ["receipt-1"]
    assert keyset.digest != KEYSET_DIGEST


@pytest.mark.parametrize("number", [1.0, 1.5, 2**53 + 1, 2**64 - 1])
def test_numbers_with_more_than_one_spelling_are_refused(number: float) -> None:
    with pytest.raises(FormatError, match="more than one spelling"):
        parse_keyset({**KEYSET, "future": number})
