"""Token, bundle and key-set formats: only FormatError escapes."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.crypto.jws import verify_es384
from teeverify.errors import FormatError
from teeverify.formats.jose import parse_compact_jws, parse_key_set
from teeverify.formats.nras import DEVICE_FLAGS, parse_nras_answer
from teeverify.limits import MAX_JWKS_KEYS, MAX_TOKEN

from . import synthetic as s

HOST = [s.device(0), s.device(1)]
ANSWER = s.Service().answer(HOST)
TOKEN = json.loads(ANSWER)[0][1]


def test_answer() -> None:
    answer = parse_nras_answer(ANSWER)
    assert (answer.overall.nonce, answer.overall.result, answer.overall.jws.kid) == (s.NONCE, True, s.KID)
    assert answer.overall.times.exp - answer.overall.times.iat == 3600
    assert [token.name for token in answer.devices] == ["GPU-0", "GPU-1"]
    assert {token.name: token.text_sha256 for token in answer.devices} == answer.overall.submods
    assert answer.devices[1].ueid == HOST[1].ueid
    assert answer.devices[1].flags == dict.fromkeys(DEVICE_FLAGS, True)
    assert HOST[1].ueid not in repr(answer)


def test_there_are_sixteen_steps() -> None:
    assert len(DEVICE_FLAGS) == len(set(DEVICE_FLAGS)) == 16


def test_signature_under_the_right_key_only() -> None:
    keys = parse_key_set(s.key_set(), what="key set")
    token = parse_compact_jws(TOKEN, what="token")
    right, other = keys.find(s.KID), keys.find("other")
    assert right is not None
    assert other is not None
    assert verify_es384(token, right)
    assert not verify_es384(token, other)
    off_curve = s.jwk()
    off_curve["y"] = off_curve["x"]
    bad = parse_key_set(s.key_set(off_curve), what="key set").find(s.KID)
    assert bad is not None
    assert not verify_es384(token, bad)


def header(**members: Any) -> str:
    return ".".join([s.b64url(json.dumps(members).encode()), *TOKEN.split(".")[1:]])


@pytest.mark.parametrize(
    ("code", "token"),
    [
        ("jws_syntax", None),
        ("jws_syntax", 7),
        ("jws_syntax", ""),
        ("jws_syntax", "a.b"),
        ("jws_syntax", "a.b.c.d"),
        ("jws_syntax", "..."),
        ("jws_syntax", TOKEN + "A"),
        ("jws_syntax", TOKEN + "="),
        ("jws_syntax", TOKEN.replace(".", ".\n", 1)),
        ("jws_syntax", TOKEN[:-1] + "é"),
        ("jws_syntax", "A" * (MAX_TOKEN + 1)),
        ("jws_syntax", TOKEN.rpartition(".")[0] + "." + s.b64url(bytes(95))),
        ("jws_syntax", "e30B." + TOKEN.partition(".")[2].replace(".", "=.", 1)),
        ("jws_header", "AAAA." + TOKEN.partition(".")[2]),
        ("jws_header", "W10." + TOKEN.partition(".")[2]),
        ("jws_algorithm", "e30." + TOKEN.partition(".")[2]),
        ("jws_algorithm", header(kid="x")),
        ("jws_algorithm", header(kid="x", alg="none")),
        ("jws_algorithm", header(kid="x", alg="es384")),
        ("jws_algorithm", header(kid="x", alg=["ES384"])),
        ("jws_header", header(kid="x", alg="ES384", b64=False)),
        ("jws_header", header(kid="x", alg="ES384", typ="at+jwt")),
        ("jws_header", header(kid="", alg="ES384")),
        ("jws_header", header(kid=7, alg="ES384")),
        ("jws_header", header(kid="x" * 257, alg="ES384")),
        ("jws_header", s.b64url(b'{"alg":"none","alg":"ES384"}') + "." + TOKEN.partition(".")[2]),
    ],
)
def test_refused_token(code: str, token: object) -> None:
    with pytest.raises(FormatError) as refused:
        parse_compact_jws(token, what="token")
    assert refused.value.code == code


def test_second_spelling_of_a_signature_is_refused() -> None:
    """Spare bits of the last character: another text, the same bytes, hence another digest."""
    head, body, _ = TOKEN.split(".")
    text = s.b64url(bytes(97))[:-1]
    with pytest.raises(FormatError):
        parse_compact_jws(f"{head}.{body}.{text}B", what="token")


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("json_syntax", b""),
        ("json_not_utf8", b"\xff"),
        ("jwks_syntax", b"[]"),
        ("jwks_syntax", b"{}"),
        ("jwks_syntax", b'{"keys": [7]}'),
        ("jwks_syntax", b'{"keys": [{}]}'),
        ("jwks_syntax", b'{"keys": [{"kid": 7}]}'),
        ("jwks_syntax", json.dumps({"keys": [{"kid": str(n)} for n in range(MAX_JWKS_KEYS + 1)]}).encode()),
        ("jwks_duplicate_kid", b'{"keys": [{"kid": "a"}, {"kid": "a", "kty": "RSA"}]}'),
        ("json_duplicate_key", b'{"keys": [], "keys": []}'),
        ("json_too_large", b" " * (2 << 20)),
    ],
)
def test_refused_key_set(code: str, body: bytes) -> None:
    with pytest.raises(FormatError) as refused:
        parse_key_set(body, what="key set")
    assert refused.value.code == code


def test_keys_of_other_kinds_are_skipped() -> None:
    keys = parse_key_set(s.key_set({"kid": "rsa", "kty": "RSA"}, {**s.jwk(), "crv": "P-521"}), what="key set")
    assert keys.find("rsa") is None
    assert keys.find(s.KID) is None
    assert keys.find("nobody") is None


def test_too_many_certificates() -> None:
    with pytest.raises(FormatError) as refused:
        parse_key_set(s.key_set({**s.jwk(), "x5c": ["AAAA"] * 5}), what="key set").find(s.KID)
    assert refused.value.code == "jwk_syntax"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    for read in (parse_nras_answer, lambda body: parse_key_set(body, what="key set")):
        with pytest.raises(FormatError):
            read(data)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(ANSWER)), st.binary(max_size=3))
def test_mutated_answer(position: int, data: bytes) -> None:
    with contextlib.suppress(FormatError):
        parse_nras_answer(ANSWER[:position] + data + ANSWER[position + len(data) :])


claim_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())


@settings(deadline=None)
@given(st.sampled_from([*s.overall_claims(), "submods"]), claim_values)
def test_arbitrary_claims(name: str, value: object) -> None:
    with contextlib.suppress(FormatError):
        parse_nras_answer(s.Service(overall=lambda claims: claims.update({name: value})).answer(HOST[:1]))
