"""The form of an attestation document, rule by rule, on documents that are signed properly all the same."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Any

import pytest

from teeverify.errors import FormatError
from teeverify.formats.nitro_document import NitroDocument, decode_document, parse_document
from teeverify.limits import MAX_CERTIFICATES, MAX_NITRO_DOCUMENT, MAX_NITRO_FIELD
from teeverify.testing.cbor import Indefinite, Pairs, Tag, Verbatim, encode
from teeverify.testing.nitro import sig_structure

from .enclaves import AT, CHALLENGE, enclave


def refused(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse_document(data)
    return caught.value.code


def with_members(**members: Any) -> NitroDocument:
    return parse_document(enclave(members=members).document())


def test_a_good_document() -> None:
    made = enclave()
    document = parse_document(made.document())
    assert document.timestamp == AT
    assert dict(document.pcrs) == made.pcrs
    assert document.nonce == CHALLENGE[:20]
    assert document.public_key == b"dummy"
    assert document.user_data is not None
    assert len(document.user_data) == 68
    assert document.cabundle == tuple(issued.der for issued in made.chain)
    assert document.certificate == made.leaf.der
    assert document.signed_bytes == sig_structure(document.protected, document.payload)
    assert "user_data" not in repr(document)


def test_both_envelopes_and_both_kinds_of_map() -> None:
    plain = parse_document(enclave().document())
    assert parse_document(enclave(tagged=True).document()) == plain
    members = enclave()._members()
    definite = parse_document(enclave(payload=encode(members)).document())
    assert (definite.pcrs, definite.timestamp, definite.cabundle) == (plain.pcrs, plain.timestamp, plain.cabundle)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 1024])
def test_the_signed_bytes_of_every_length(size: int) -> None:
    document = with_members(user_data=bytes(size))
    assert document.signed_bytes == sig_structure(document.protected, document.payload)


@pytest.mark.parametrize("name", ["public_key", "user_data", "nonce"])
def test_what_may_be_absent(name: str) -> None:
    assert getattr(parse_document(enclave(without={name}).document()), name) is None
    assert getattr(with_members(**{name: None}), name) is None
    assert getattr(with_members(**{name: bytes(MAX_NITRO_FIELD)}), name) == bytes(MAX_NITRO_FIELD)


def test_the_timestamp_is_in_milliseconds() -> None:
    made = with_members(timestamp=1770918962724).timestamp
    assert made == datetime(2026, 2, 12, 17, 56, 2, 724000, tzinfo=timezone.utc)
    assert with_members(timestamp=253_402_300_799_999).timestamp.year == 9999


_REQUIRED = ("module_id", "timestamp", "digest", "pcrs", "certificate", "cabundle")


@pytest.mark.parametrize("name", _REQUIRED)
def test_what_may_not_be_absent(name: str) -> None:
    assert refused(enclave(without={name}).document()) == "nitro_members"
    assert refused(enclave(members={name: None}).document()).startswith("nitro_")


_REGISTER = bytes(48)
_WHOLE: dict[Any, Any] = {0: _REGISTER, 1: _REGISTER, 2: _REGISTER}


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"module_id": ""}, "nitro_member"),
        ({"module_id": b"i-1"}, "nitro_member"),
        ({"module_id": "i" * 257}, "nitro_member"),
        ({"timestamp": -1}, "nitro_member"),
        ({"timestamp": True}, "nitro_member"),
        ({"timestamp": "1770918962724"}, "nitro_member"),
        ({"timestamp": 253_402_300_800_000}, "nitro_member"),
        ({"timestamp": 2**64 - 1}, "nitro_member"),
        ({"digest": "SHA256"}, "nitro_member"),
        ({"digest": b"SHA384"}, "nitro_member"),
        ({"pcrs": [_REGISTER] * 3}, "nitro_pcrs"),
        ({"pcrs": {}}, "nitro_pcrs"),
        ({"pcrs": {0: _REGISTER, 1: _REGISTER}}, "nitro_pcrs"),
        ({"pcrs": {1: _REGISTER, 2: _REGISTER}}, "nitro_pcrs"),
        ({"pcrs": {**_WHOLE, 0: bytes(32)}}, "nitro_pcrs"),
        ({"pcrs": {**_WHOLE, 2: bytes(64)}}, "nitro_pcrs"),
        ({"pcrs": {**_WHOLE, 3: bytes(47)}}, "nitro_pcrs"),
        ({"pcrs": {**_WHOLE, 3: b""}}, "nitro_pcrs"),
        ({"pcrs": {**_WHOLE, 3: "00" * 24}}, "nitro_pcrs"),
        ({"pcrs": {**_WHOLE, 32: _REGISTER}}, "nitro_pcrs"),
        ({"pcrs": {**_WHOLE, -1: _REGISTER}}, "nitro_pcrs"),
        ({"pcrs": {**_WHOLE, "3": _REGISTER}}, "nitro_pcrs"),
        ({"pcrs": Pairs([*_WHOLE.items(), (0, b"\1" * 48)])}, "cbor_repeated_key"),
        ({"certificate": b""}, "nitro_certificates"),
        ({"certificate": bytes(1025)}, "nitro_certificates"),
        ({"certificate": "30"}, "nitro_certificates"),
        ({"cabundle": []}, "nitro_certificates"),
        ({"cabundle": {0: b"0"}}, "nitro_certificates"),
        ({"cabundle": [b""]}, "nitro_certificates"),
        ({"cabundle": [bytes(1025)]}, "nitro_certificates"),
        ({"cabundle": [b"0"] * MAX_CERTIFICATES}, "nitro_certificates"),
        ({"cabundle": Tag(1, [b"0"])}, "nitro_certificates"),
        ({"nonce": bytes(MAX_NITRO_FIELD + 1)}, "nitro_member"),
        ({"nonce": "00"}, "nitro_member"),
        ({"user_data": 0}, "nitro_member"),
        ({"public_key": False}, "nitro_member"),
        ({"debug": True}, "nitro_members"),
        ({b"nonce": b""}, "nitro_members"),
        ({0: b""}, "nitro_members"),
    ],
)
def test_members_that_are_refused(members: dict[Any, Any], code: str) -> None:
    assert refused(enclave(members=members).document()) == code


def test_a_repeated_member() -> None:
    members = [*enclave()._members().items(), ("nonce", bytes(20))]
    assert refused(enclave(payload=encode(Pairs(members))).document()) == "cbor_repeated_key"
    assert refused(enclave(payload=encode(Indefinite(Pairs(members)))).document()) == "cbor_repeated_key"


@pytest.mark.parametrize("payload", [b"", b"\xf6", b"\x80", b"\x40", encode("map")])
def test_a_payload_that_is_no_map(payload: bytes) -> None:
    assert refused(enclave(payload=payload).document()) in ("nitro_members", "cbor_truncated")


@pytest.mark.parametrize(
    "protected",
    [
        encode({1: -7}),  # ES256
        encode({1: -36}),  # ES512
        encode({1: 35}),
        encode({1: "ES384"}),
        encode({}),
        encode({2: [1], 1: -35}),  # crit
        encode({1: -35, 4: b"key id"}),
        encode([1, -35]),
        encode(-35),
    ],
)
def test_another_protected_header(protected: bytes) -> None:
    assert refused(enclave(protected=protected).document()) == "cose_header"


@pytest.mark.parametrize("protected", [b"", encode({1: -35}) + b"\x00", b"\xa2\x01\x38\x22\x01\x38\x22", b"\xa1\x01"])
def test_a_protected_header_that_is_not_read(protected: bytes) -> None:
    assert refused(enclave(protected=protected).document()).startswith("cbor_")


@pytest.mark.parametrize("unprotected", [{1: -35}, {4: b"key id"}, [], None, b"\xa0"])
def test_another_unprotected_header(unprotected: Any) -> None:
    assert refused(enclave(unprotected=unprotected).document()) == "cose_header"


@pytest.mark.parametrize("size", [0, 64, 95, 97, 102, 104, 132])
def test_a_signature_of_another_length(size: int) -> None:
    assert refused(enclave(signature=bytes(size)).document()) == "cose_signature_form"


def test_another_envelope() -> None:
    good = enclave().document()
    parts: tuple[Any, ...] = (b"\xa0", {}, b"\xa0", bytes(96))
    assert refused(encode(Tag(17, Verbatim(good)))) == "cose_shape"
    assert refused(encode(Tag(18, Tag(18, Verbatim(good))))) == "cose_shape"
    assert refused(encode(list(parts[:3]))) == "cose_shape"
    assert refused(encode([*parts, None])) == "cose_shape"
    assert refused(encode(dict(enumerate(parts)))) == "cose_shape"
    for index in (0, 2, 3):
        assert refused(encode([*parts[:index], "text", *parts[index + 1 :]])) == "cose_shape"
    assert refused(good + b"\x00") == "cbor_trailing"
    assert refused(good[:-1]) == "cbor_truncated"
    assert refused(enclave(payload=encode({}) + b"\x00").document()) == "cbor_trailing"
    assert refused(bytes(MAX_NITRO_DOCUMENT + 1)) == "cbor_too_large"


def test_what_nitriding_serves() -> None:
    data = enclave().document()
    assert decode_document(enclave().served()) == data
    assert decode_document(b" \r\n\t" + base64.b64encode(data) + b"\r\n") == data


@pytest.mark.parametrize(
    "body",
    [
        b"A",
        b"hEShATgi\noFkRYL9p",
        b"hEShATgioFk=AAAA",
        b"hEShATgioFkRYL9pbW9_",
        b"hEShATgioB==",
        b'{"module_id": "i-1"}',
        b"<html>",
        "hEShATgiö".encode(),
        b"\xff\xfe",
        b"A" * (2 * MAX_NITRO_DOCUMENT),
    ],
)
def test_a_body_that_is_no_base64(body: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        decode_document(body)
    assert caught.value.code in ("not_base64", "wrong_length")


def test_a_debugging_nitriding_is_no_cose() -> None:
    """Started with -debug, it serves JSON as base64."""
    assert refused(decode_document(base64.b64encode(b'{"module_id":"i-1"}'))).startswith("cbor_")
