"""The signature statement: its text, its form, and the vectors of nearai/inference-proxy's protocol."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from teeverify.claims.exchange import ResponseSignature
from teeverify.claims.problem import Problem, ProblemKind
from teeverify.derivation.exchange import derive_signature
from teeverify.errors import FormatError
from teeverify.formats.chat_body import asks_for_stream, chat_id_of, is_finished, is_stream
from teeverify.formats.signed_text import parse_signed_text

REQUEST: Final = "c3f7bdf537c46724392c4428e47e04c148c56966190c3c9ed92114800c9f35bb"
RESPONSE: Final = "d30db74ae503504cf0eff5cf28a7f23188e0bed27b2484fac73ebbe7e2b1b746"
TEXT: Final = f"m:{REQUEST}:{RESPONSE}"
ECDSA: Final[dict[str, Any]] = {
    "text": TEXT,
    "signature": "0x466f83d7e53bdd8480010bbb7ced02eb17b03531acd335b9d5ccaef5aa630c4f"
    "7ad53ad357dc7b554227a9be0db2572a0d5af9957dc49292cd93be4f0e2a3dfc1c",
    "signing_address": "0x5cbdd86a2fa8dc4bddd8a8f69dba48572eec07fb",
    "signing_algo": "ecdsa",
    "signature_kind": "provider_tee",
}
ED25519: Final[dict[str, Any]] = {
    "text": TEXT,
    "signature": "e938769c2e92658fc7756146f7514678e8e21e2904ae939bf381d8ade3678496"
    "d368c87da09e92cc73b17599fb4306e600b50fd26769d577bf2eb8c899a9e202",
    "signing_address": "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
    "signing_algo": "ed25519",
}
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def derive(base: dict[str, Any], **changes: Any) -> ResponseSignature | Problem:
    document = {**base, **changes}
    return derive_signature(
        json.dumps({k: v for k, v in document.items() if v is not ...}).encode(), base["signing_algo"]
    )


@pytest.mark.parametrize("base", [ECDSA, ED25519], ids=["ecdsa", "ed25519"])
def test_the_vectors_verify(base: dict[str, Any]) -> None:
    found = derive(base)
    assert isinstance(found, ResponseSignature)
    assert found.valid
    assert (found.model, found.request_digest.hex(), found.response_digest.hex()) == ("m", REQUEST, RESPONSE)


def test_checksummed_addresses_and_small_recovery_ids_are_the_same_signature() -> None:
    mixed = derive(ECDSA, signing_address=ECDSA["signing_address"].upper().replace("0X", "0x"))
    small = derive(ECDSA, signature=ECDSA["signature"][:-2] + "01")
    assert isinstance(mixed, ResponseSignature)
    assert isinstance(small, ResponseSignature)
    assert mixed.valid
    assert small.valid


def _high_s() -> str:
    raw = bytes.fromhex(ECDSA["signature"][2:])
    s = ORDER - int.from_bytes(raw[32:64], "big")
    return "0x" + (raw[:32] + s.to_bytes(32, "big") + bytes([27 + 28 - raw[64]])).hex()


@pytest.mark.parametrize(
    "changes",
    [
        {"text": TEXT.replace("m:", "n:")},
        {"text": f"{REQUEST}:{RESPONSE}"},
        {"text": f"m:{RESPONSE}:{REQUEST}"},
        {"signing_address": "0x" + "11" * 20},
        {"signature": _high_s()},
        {"signature": ECDSA["signature"][:-2] + "1d"},
        {"signature": "0x" + "00" * 65},
        {"signature": "0x" + "ff" * 65},
    ],
    ids=["model", "no-model", "digests-swapped", "other-address", "high-s", "v-29", "zero", "ff"],
)
def test_a_signature_over_something_else_is_not_valid(changes: dict[str, str]) -> None:
    found = derive(ECDSA, **changes)
    assert isinstance(found, ResponseSignature)
    assert not found.valid


@pytest.mark.parametrize("place", range(0, 128, 9))
def test_every_digit_of_an_ed25519_signature_counts(place: int) -> None:
    text = ED25519["signature"]
    other = "0" if text[place] != "0" else "1"
    found = derive(ED25519, signature=text[:place] + other + text[place + 1 :])
    assert isinstance(found, ResponseSignature)
    assert not found.valid


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"signing_algo": "ed25519"}, ProblemKind.MALFORMED),
        ({"signing_algo": ...}, ProblemKind.MALFORMED),
        ({"signature_kind": "PROVIDER_TEE"}, ProblemKind.MALFORMED),
        ({"signature_kind": ["gateway"]}, ProblemKind.MALFORMED),
        ({"signature_kind": 1}, ProblemKind.MALFORMED),
        ({"signature": ...}, ProblemKind.MALFORMED),
        ({"signature": ECDSA["signature"][:-2]}, ProblemKind.MALFORMED),
        ({"signature": ECDSA["signature"] + "00"}, ProblemKind.MALFORMED),
        ({"signature": "0x" + "zz" * 65}, ProblemKind.MALFORMED),
        ({"signature": None}, ProblemKind.MALFORMED),
        ({"signing_address": ED25519["signing_address"]}, ProblemKind.MALFORMED),
        ({"signing_address": 5}, ProblemKind.MALFORMED),
        ({"text": ...}, ProblemKind.MALFORMED),
        ({"text": TEXT.upper()}, ProblemKind.MALFORMED),
        ({"text": TEXT + "\n"}, ProblemKind.MALFORMED),
        ({"text": ":" + TEXT[2:]}, ProblemKind.MALFORMED),
        ({"text": RESPONSE}, ProblemKind.MALFORMED),
        ({"text": "m" * 600 + TEXT}, ProblemKind.MALFORMED),
        ({"error_code": "STREAM_DISCONNECTED"}, ProblemKind.UNAVAILABLE),
        ({"error": {"message": "no"}}, ProblemKind.UNAVAILABLE),
    ],
)
def test_a_statement_of_another_form_is_none(changes: dict[str, Any], kind: ProblemKind) -> None:
    found = derive(ECDSA, **changes)
    assert isinstance(found, Problem)
    assert found.kind is kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", ProblemKind.UNAVAILABLE),
        (b"", ProblemKind.UNAVAILABLE),
        (b"\xff", ProblemKind.UNAVAILABLE),
        (b"[]", ProblemKind.MALFORMED),
        (b'{"text":"a","text":"b"}', ProblemKind.MALFORMED),
        (b"[" * 100_000, ProblemKind.MALFORMED),
    ],
)
def test_what_is_no_statement_at_all(body: bytes, kind: ProblemKind) -> None:
    found = derive_signature(body, "ed25519")
    assert isinstance(found, Problem)
    assert found.kind is kind


def test_a_model_name_may_hold_colons_and_digests() -> None:
    signed = parse_signed_text(f"a:{REQUEST}:b:{REQUEST}:{RESPONSE}")
    assert signed.model == f"a:{REQUEST}:b"
    assert signed.text == f"a:{REQUEST}:b:{REQUEST}:{RESPONSE}"
    with pytest.raises(FormatError):
        parse_signed_text(f"{REQUEST}:{RESPONSE}:")


@pytest.mark.parametrize(
    ("request_body", "streams"),
    [
        (b'{"stream":true}', True),
        (b'{"stream":1}', False),
        (b'{"stream":"true"}', False),
        (b'{"inner":{"stream":true}}', False),
        (b"{}", False),
        (b"", False),
        (b'{"content":"a\\ud83d","stream" : true}', True),  # half of a pair: the strict reader refuses it
        (b'{"content":"a\\ud83d","stream":false}', False),
        (b'{"stream":false,"stream":true}', True),
    ],
)
def test_a_stream_is_asked_for_by_the_literal_true(request_body: bytes, streams: bool) -> None:
    assert asks_for_stream(request_body) is streams


@pytest.mark.parametrize(
    ("body", "finished"),
    [
        (b"data: {}\n\ndata: [DONE]\n\n", True),
        (b"data:[DONE]\n", True),
        (b"data: {}\r\n\r\ndata: [DONE]\r\n\r\n", True),
        (b"data: {}\n\ndata: [DONE]", False),
        (b"data: {}\n\ndata: [DON", False),
        (b"data: {}\n\n", False),
        (b"data: [DONE]\n\ndata: {}\n\n", False),
        (b": [DONE]\n\n", False),
        (b'data: {"content":"data: [DONE]\\n\\n"}\n\n', False),
        (b"", False),
    ],
)
def test_the_end_of_a_stream(body: bytes, finished: bool) -> None:
    assert is_finished(body) is finished


@pytest.mark.parametrize(
    ("body", "chat_id"),
    [
        (b'{"id":"chatcmpl-1"}', "chatcmpl-1"),
        (b': ping\n\ndata: {"id":"a"}\n\ndata: {"id":"b"}\n\n', "a"),
        (b'{"id":1}', None),
        (b'{"id":""}', None),
        (b'{"id":"a b"}', None),
        (b'{"id":"' + b"x" * 257 + b'"}', None),
        (b'{"id":"a","id":"b"}', None),
        (b"<html>", None),
        (b"data: [DONE]\n\n", None),
    ],
)
def test_the_id_of_a_chat(body: bytes, chat_id: str | None) -> None:
    assert chat_id_of(body) == chat_id


def test_a_stream_is_told_by_its_first_line() -> None:
    assert is_stream(b"\n: keep-alive\n\ndata: {}\n\n")
    assert not is_stream(b'{"data": 1}')
