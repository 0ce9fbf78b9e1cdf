"""Intel's signed JSON: exact slices, exact outer members, closed types; and the issuer-chain headers."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.intel_collateral import parse_qe_identity, parse_tcb_info
from teeverify.limits import MAX_ENDORSEMENT_BODY
from teeverify.testing.intel import IntelPki
from teeverify.testing.keys import KeyRing
from teeverify.testing.pcs import PcsService

from . import real
from .attempts import Refused, attempt

ISSUED = datetime(2026, 7, 1, 11, tzinfo=timezone.utc)
PCS = PcsService(pki=IntelPki(KeyRing()), issued=ISSUED)
FMSPC = "90c06f000000"
INFO, IDENTITY = PCS.tcb_info(FMSPC), PCS.qe_identity()
HEADER, QE_HEADER = "tcb-info-issuer-chain", "sgx-enclave-identity-issuer-chain"
HEADERS = {HEADER: ("chain",)}
CODES = {
    "collateral_shape", "json_syntax", "json_not_utf8", "json_duplicate_key", "json_number", "json_too_deep",
    "json_surrogate", "json_too_large", "not_hex", "wrong_length", "issuer_chain_missing",
}  # fmt: skip


def body(inner: object = INFO, key: str = "tcbInfo", signature: object = "ab" * 64, **outer: object) -> bytes:
    return json.dumps({key: inner, "signature": signature, **outer}).encode()


def changed(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """A copy with one member replaced; ``...`` takes it away."""
    result = copy.deepcopy(document)
    place: Any = result
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return result


def code_of(data: bytes, headers: Mapping[str, tuple[str, ...]] = HEADERS) -> str:
    with pytest.raises(FormatError) as refused:
        parse_tcb_info(data, headers)
    return refused.value.code


def qe_code_of(data: bytes) -> str:
    with pytest.raises(FormatError) as refused:
        parse_qe_identity(data, {QE_HEADER: ("chain",)})
    return refused.value.code


def test_a_good_answer() -> None:
    info = parse_tcb_info(body(), HEADERS)
    assert (info.id, info.version, info.tcb_type, info.eval_number) == ("TDX", 3, 0, 19)
    assert (info.fmspc, info.pce_id) == (bytes.fromhex(FMSPC), b"\0\0")
    assert (info.issue_date, info.next_update) == (ISSUED, ISSUED + timedelta(days=30))
    assert [level.status for level in info.levels] == ["UpToDate", "OutOfDate"]
    newest, older = info.levels
    assert newest.sgx_components == (3, 3, 2, 2, 4, 1, 0, 5) + 8 * (0,)
    assert newest.tdx_components == (5, 0, 3) + 13 * (0,)
    assert (newest.pce_svn, newest.advisories, newest.date) == (13, (), datetime(2025, 5, 14, tzinfo=timezone.utc))
    assert older.advisories == ("INTEL-SA-01036", "INTEL-SA-01079")
    assert (info.signed.signature, info.signed.issuer_chain) == (b"\xab" * 64, b"chain")
    identity = parse_qe_identity(body(IDENTITY, "enclaveIdentity"), {QE_HEADER: ("chain",)})
    assert (identity.id, identity.version, identity.eval_number) == ("TD_QE", 2, 19)


@pytest.mark.parametrize("indent", [None, 0, 3])
def test_the_signed_text_is_the_exact_slice(indent: int | None) -> None:
    inner = json.dumps(INFO, indent=indent)
    for document in (
        f'{{"tcbInfo":{inner},"signature":"{"0" * 128}"}}',
        f' {{"signature" : "{"0" * 128}" , "tcbInfo" :\n{inner}\n}} ',
        f'{{"tcb\\u0049nfo":{inner},"signature":"{"0" * 128}"}}',
    ):
        assert parse_tcb_info(document.encode(), HEADERS).signed.text == inner


# --- the outer object and the header --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"[]", "collateral_shape"),
        (b"null", "collateral_shape"),
        (b"{}", "collateral_shape"),
        (body(key="tcbinfo"), "collateral_shape"),
        (body(key="enclaveIdentity"), "collateral_shape"),
        (body(extra=1), "collateral_shape"),
        (body(pck_certificate_chain="x"), "collateral_shape"),
        (body(inner=[]), "collateral_shape"),
        (body(inner=json.dumps(INFO)), "collateral_shape"),
        (b'{"tcbInfo":{},"tcbInfo":{},"signature":""}', "json_duplicate_key"),
        (b'{"tcbInfo":{},"tcb\\u0049nfo":{},"signature":""}', "json_duplicate_key"),
        (body().replace(b'"id": "TDX"', b'"id": "SGX", "id": "TDX"'), "json_duplicate_key"),
        (body().replace(b'"version": 3', b'"version": NaN'), "json_number"),
        (body()[:-1], "json_syntax"),
        (body() + b"x", "json_syntax"),
        (b"<html>captive portal</html>", "json_syntax"),
        (b"\xff" + body(), "json_not_utf8"),
        (body(signature="ab" * 63), "wrong_length"),
        (body(signature="ab" * 65), "wrong_length"),
        (body(signature="zz" * 64), "not_hex"),
        (body(signature=None), "not_hex"),
        (body(signature=1), "not_hex"),
        (b" " * (MAX_ENDORSEMENT_BODY + 1), "json_too_large"),
        (b'{"tcbInfo":' + b"[" * 60 + b"]" * 60 + b',"signature":""}', "json_too_deep"),
        (b'{"tcbInfo":{"x":"\\ud800"},"signature":""}', "json_surrogate"),
    ],
)
def test_refused_answers(data: bytes, code: str) -> None:
    assert code_of(data) == code


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {HEADER: ()},
        {HEADER: ("a", "b")},
        {HEADER: ("a",), "sgx-tcb-info-issuer-chain": ("a",)},
        {QE_HEADER: ("a",)},
        {"Tcb-Info-Issuer-Chain": ("a",)},  # names come in lower case; this one is another header
        {HEADER + " ": ("a",)},
    ],
)
def test_exactly_one_issuer_chain(headers: dict[str, tuple[str, ...]]) -> None:
    several = sum(len(headers.get(name, ())) for name in (HEADER, "sgx-tcb-info-issuer-chain")) > 1
    assert code_of(body(), headers) == ("collateral_shape" if several else "issuer_chain_missing")


def test_the_older_header_name_will_do_and_the_value_is_unquoted_once() -> None:
    text = "-----BEGIN CERTIFICATE-----\nab+/=%41\n"
    info = parse_tcb_info(body(), {"sgx-tcb-info-issuer-chain": (quote(text, safe=""),)})
    assert info.signed.issuer_chain == text.encode()
    assert parse_tcb_info(body(), {HEADER: (quote("a+b", safe="+"),)}).signed.issuer_chain == b"a+b"


def test_answers_that_differ_in_body_or_chain_are_not_mixed_up() -> None:
    """Reading is remembered; the memory must know both parts."""
    other = body(changed(INFO, ("fmspc",), "00a06d080000"))
    read = {(data, chain): parse_tcb_info(data, {HEADER: (chain,)}) for data in (body(), other) for chain in "ab"}
    for (data, chain), info in read.items():
        assert info.signed.issuer_chain == chain.encode()
        assert info.fmspc.hex() in data.decode()


# --- the inner object -----------------------------------------------------------------------------------------------

LEVEL: tuple[str | int, ...] = ("tcbLevels", 0)
_BAD_TIMES = [
    None, 0, "", "2026-07-01", "2026-07-01T11:00:00", "2026-07-01T11:00:00z", "2026-07-01T11:00:00+00:00",
    "2026-07-01 11:00:00Z", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z",
    "2026-07-01T11:00:00.5Z", "2026-07-01T11:00:00Z\n", "12026-07-01T11:00:00Z", "2026-07-01T23:59:60Z",
    "\N{ARABIC-INDIC DIGIT TWO}026-07-01T11:00:00Z",
]  # fmt: skip


@pytest.mark.parametrize("member", ["issueDate", "nextUpdate"])
@pytest.mark.parametrize("value", _BAD_TIMES)
def test_times_are_rfc_3339_in_utc_and_whole_seconds(member: str, value: object) -> None:
    assert code_of(body(changed(INFO, (member,), value))) == "collateral_shape"
    assert qe_code_of(body(changed(IDENTITY, (member,), value), "enclaveIdentity")) == "collateral_shape"
    assert code_of(body(changed(INFO, (*LEVEL, "tcbDate"), value))) == "collateral_shape"


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (("id",), [..., None, 1, ["TDX"]]),
        (("version",), [..., None, "3", 3.0, True]),
        (("tcbType",), [..., None, "0", False, 0.0]),
        (("tcbEvaluationDataNumber",), [..., None, "19", True, 19.0, 1e2]),
        (("tcbLevels",), [..., None, {}, [], [1], [{}] * 65]),
        (LEVEL, [None, [], 7, {}]),
        ((*LEVEL, "tcb"), [..., None, []]),
        ((*LEVEL, "tcb", "pcesvn"), [..., None, "13", True, 13.5]),
        ((*LEVEL, "tcb", "sgxtcbcomponents"), [..., None, {}, [], [{"svn": 1}] * 15, [{"svn": 1}] * 17, [1] * 16]),
        ((*LEVEL, "tcb", "tdxtcbcomponents"), [..., None, {}, [], [{"svn": 1}] * 15, [{"svn": 1}] * 17, [None] * 16]),
        ((*LEVEL, "tcb", "sgxtcbcomponents", 3, "svn"), [..., None, "3", True, 3.0]),
        ((*LEVEL, "tcbStatus"), [..., None, 0, ["UpToDate"]]),
        ((*LEVEL, "advisoryIDs"), [None, "INTEL-SA-00001", [1], [None], {}]),
    ],
)
def test_types_are_exact(path: tuple[str | int, ...], values: list[object]) -> None:
    for value in values:
        assert code_of(body(changed(INFO, path, value))) == "collateral_shape", value


@pytest.mark.parametrize("path", [("id",), ("version",), ("tcbEvaluationDataNumber",)])
@pytest.mark.parametrize("value", [..., None, [], True])
def test_types_of_the_identity_are_exact(path: tuple[str], value: object) -> None:
    assert qe_code_of(body(changed(IDENTITY, path, value), "enclaveIdentity")) == "collateral_shape"


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("fmspc", None, "not_hex"),
        ("fmspc", "90c06f0000", "wrong_length"),
        ("fmspc", "90c06f00000g", "not_hex"),
        ("fmspc", 90, "not_hex"),
        ("pceId", "00", "wrong_length"),
        ("pceId", 0, "not_hex"),
    ],
)
def test_platform_ids(member: str, value: object, code: str) -> None:
    assert code_of(body(changed(INFO, (member,), value))) == code


scalars: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({}) | st.floats()
)


@given(st.sampled_from(sorted(INFO)), scalars)
def test_mutated_answers_raise_nothing_else(member: str, value: object) -> None:
    data = body(changed(INFO, (member,), value))
    info = attempt(lambda: parse_tcb_info(data, HEADERS))
    if isinstance(info, Refused):
        assert info.code in CODES
    else:
        assert info.signed.text in data.decode()


@given(st.binary(max_size=200), st.text(max_size=20))
def test_arbitrary_bytes_raise_nothing_else(data: bytes, chain: str) -> None:
    assert code_of(data, {HEADER: (chain,)}) in CODES


@given(st.binary(max_size=30))
def test_any_slice_put_into_an_answer(garbage: bytes) -> None:
    whole = body()
    for place in (0, 1, len(whole) // 2, len(whole)):
        data = whole[:place] + garbage + whole[place:]
        result = attempt(functools.partial(parse_tcb_info, data, HEADERS))
        assert not isinstance(result, Refused) or result.code in CODES


def test_real_answers() -> None:
    answers = real.intel_answers("/tdx/certification/v4/tcb?")
    assert answers
    for recorded_at, answer in answers:
        info = parse_tcb_info(answer.body, answer.headers)
        assert (info.id, info.version, info.tcb_type, info.pce_id) == ("TDX", 3, 0, b"\0\0")
        assert info.issue_date <= recorded_at <= info.next_update
        assert info.next_update - info.issue_date == timedelta(days=30)
        assert info.eval_number in (18, 19)
        assert info.levels[0].status == "UpToDate"
    for recorded_at, answer in real.intel_answers("/qe/identity"):
        identity = parse_qe_identity(answer.body, answer.headers)
        assert (identity.id, identity.version) == ("TD_QE", 2)
        assert identity.issue_date <= recorded_at <= identity.next_update
