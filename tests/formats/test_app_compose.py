"""app-compose documents and REPORTDATA halves: hashed as they came."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teeverify.claims.problem import Problem
from teeverify.errors import FormatError
from teeverify.formats.app_compose import parse_app_compose
from teeverify.formats.report_data import ADDRESS_SIZES, actions_half, padded_half, tls_bound_half
from teeverify.limits import MAX_APP_COMPOSE

from . import real
from .attempts import Refused, attempt


@pytest.mark.parametrize(
    "text",
    [
        '{"name":"a","runner":"docker-compose"}',
        ' {\n "runner" : "docker-compose",\t"name" : "a" }\r\n',
        '{"name":"\\u0061","runner":"docker-compose"}',
        '{"name":"a","runner":"docker-compose","docker_compose_file":"\N{GRINNING FACE}"}',
    ],
)
def test_the_hash_is_over_the_text_as_it_came(text: str) -> None:
    compose = parse_app_compose(text)
    assert compose.compose_hash == hashlib.sha256(text.encode("utf-8")).digest()
    assert (compose.name, compose.runner, compose.text) == ("a", "docker-compose", text)


def test_name_and_runner_may_be_missing() -> None:
    assert (parse_app_compose("{}").name, parse_app_compose("{}").runner) == ("", "")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "app_compose_shape"),
        ({"name": "a"}, "app_compose_shape"),
        (b"{}", "app_compose_shape"),
        ("[]", "app_compose_shape"),
        ('"{}"', "app_compose_shape"),
        ('{"name":1}', "app_compose_shape"),
        ('{"runner":null}', "app_compose_shape"),
        ("", "json_syntax"),
        ('{"name":"a","name":"a"}', "json_duplicate_key"),
        ('{"x":{"image":"good","image":"evil"}}', "json_duplicate_key"),
        ('{"x":NaN}', "json_number"),
        ('{"x":"\\ud800"}', "json_surrogate"),
        ('{"x":"' + chr(0xD800) + '"}', "json_surrogate"),
        ('{"x":"' + "a" * MAX_APP_COMPOSE + '"}', "json_too_large"),
        ("[" * 40 + "]" * 40, "json_too_deep"),
    ],
)
def test_refusals(value: object, code: str) -> None:
    with pytest.raises(FormatError) as refused:
        parse_app_compose(value)
    assert refused.value.code == code


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers() | st.none(), max_size=4))
def test_any_object_is_hashed_or_refused(document: dict[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False)
    compose = attempt(lambda: parse_app_compose(text))
    if isinstance(compose, Refused):
        assert compose.code in ("app_compose_shape", "json_surrogate", "json_number")
    else:
        assert compose.compose_hash == hashlib.sha256(text.encode()).digest()


def test_real_documents_have_the_measured_hash() -> None:
    for guest in real.guests():
        compose, identity = guest.dstack.app_compose, guest.dstack.identity
        assert not isinstance(compose, Problem)
        assert not isinstance(identity, Problem)
        assert compose.compose_hash == identity.compose_hash, guest.where
        assert compose.runner == "docker-compose"


@given(st.binary(min_size=20, max_size=32), st.binary(min_size=32, max_size=32))
def test_report_data_halves(address: bytes, fingerprint: bytes) -> None:
    padded = padded_half(address)
    assert len(padded) == 32
    assert padded == address + bytes(32 - len(address))
    assert tls_bound_half(address, fingerprint) == hashlib.sha256(address + fingerprint).digest()
    assert actions_half(fingerprint) == fingerprint
    assert ADDRESS_SIZES == {"ed25519": 32, "ecdsa": 20}
