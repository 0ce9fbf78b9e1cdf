"""GPU evidence as providers ship it: both forms, and what is refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.gpu_payload import GpuPayload, parse_gpu_payload
from teeverify.limits import MAX_GPU_EVIDENCE, MAX_GPUS

from . import synthetic as s

ENTRY = {"certificate": "AAAA", "evidence": "AQID"}


def parse(value: object) -> GpuPayload:
    return parse_gpu_payload(value, what="GPU evidence")


def test_string_form() -> None:
    payload = parse(s.payload([s.device(), s.device(1)]))
    assert (payload.nonce, payload.arch, len(payload.entries)) == (s.NONCE, "HOPPER", 2)
    assert len(payload.entries[0].evidence) == len(s.device().evidence())
    assert payload.entries[0].certificate.startswith(b"-----BEGIN")


def test_list_form() -> None:
    payload = parse([{**ENTRY, "arch": "HOPPER", "nonce": s.NONCE.hex(), "unknown": 1}, ENTRY])
    assert (payload.nonce, payload.arch) == (None, None)
    assert [(e.arch, e.nonce) for e in payload.entries] == [("HOPPER", s.NONCE), (None, None)]
    assert payload.entries[1].evidence == b"\1\2\3"


def document(**changes: Any) -> str:
    return json.dumps({"nonce": s.NONCE.hex(), "arch": "HOPPER", "evidence_list": [ENTRY], **changes})


def entry(**changes: Any) -> list[dict[str, Any]]:
    return [{**ENTRY, **changes}]


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("gpu_payload_shape", None),
        ("gpu_payload_shape", 7),
        ("gpu_payload_shape", True),
        ("gpu_payload_shape", {"evidence_list": [ENTRY]}),
        ("json_syntax", ""),
        ("json_syntax", "x"),
        ("gpu_payload_shape", "[]"),
        ("gpu_payload_shape", "null"),
        ("gpu_payload_shape", json.dumps(document())),
        ("gpu_payload_shape", "{}"),
        ("json_duplicate_key", '{"evidence_list": [], "evidence_list": []}'),
        ("json_number", '{"evidence_list": NaN}'),
        ("json_too_deep", "[" * 100 + "]" * 100),
        ("gpu_payload_shape", document(evidence_list=ENTRY)),
        ("gpu_payload_shape", document(evidence_list=None)),
        ("gpu_count", document(evidence_list=[])),
        ("gpu_count", document(evidence_list=[ENTRY] * (MAX_GPUS + 1))),
        ("gpu_count", []),
        ("gpu_payload_shape", document(evidence_list=["AAAA"])),
        ("gpu_payload_shape", [None]),
        ("not_hex", document(nonce=None)),
        ("wrong_length", document(nonce="00")),
        ("not_hex", document(nonce="zz" * 32)),
        ("wrong_length", document(nonce=" " + s.NONCE.hex())),
        ("gpu_payload_shape", document(arch=None)),
        ("gpu_payload_shape", document(arch="")),
        ("gpu_payload_shape", document(arch="H\n")),
        ("gpu_payload_shape", document(arch="H" * 33)),
        ("not_base64", entry(certificate=None)),
        ("not_base64", entry(evidence=None)),
        ("not_base64", entry(evidence=b"AAAA".hex() + "=")),
        ("not_base64", entry(evidence="AQ ID")),
        ("not_base64", entry(evidence="AQID\n")),
        ("not_base64", entry(evidence="AQ")),
        ("not_base64", entry(evidence="AR==")),
        ("not_base64", entry(evidence="_-__")),
        ("wrong_length", entry(evidence="AAAA" * MAX_GPU_EVIDENCE)),
        ("not_hex", entry(nonce=7)),
        ("gpu_payload_shape", entry(arch=["HOPPER"])),
    ],
)
def test_refused(code: str, value: object) -> None:
    with pytest.raises(FormatError) as refused:
        parse(value)
    assert refused.value.code == code


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
members = st.dictionaries(
    st.sampled_from(["certificate", "evidence", "arch", "nonce", "evidence_list"]), json_values, max_size=5
)


@settings(deadline=None)
@given(json_values | members | st.lists(members, max_size=3))
def test_arbitrary_values(value: object) -> None:
    for form in (value, json.dumps(value)):
        with contextlib.suppress(FormatError):
            parse(form)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_arbitrary_text(text: str) -> None:
    with pytest.raises(FormatError):
        parse(text)
