"""TDX quotes: exact lengths, versions and bodies, and agreement with dcap-qvl field by field."""

from __future__ import annotations

import struct
from typing import Any

import dcap_qvl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.tdx_quote import TdxQuote, parse_quote
from teeverify.limits import MAX_QUOTE, MAX_QUOTE_PADDING
from teeverify.testing.intel import IntelPki, Platform
from teeverify.testing.keys import KeyRing
from teeverify.testing.tdx import QeFields, QuoteFormat, TdFields, build_quote

from . import real
from .attempts import Refused, attempt

CODES = {"not_tdx_quote", "quote_truncated", "quote_length", "quote_trailing_bytes", "quote_too_large"}
AUTH_LENGTH = {"v4": 48 + 584, "v5 TD 1.0": 54 + 584, "v5 TD 1.5": 54 + 648}
LAYOUTS = {
    "v4": QuoteFormat(padding=b""),
    "v5 TD 1.0": QuoteFormat(version=5, body_type=2, padding=b""),
    "v5 TD 1.5": QuoteFormat(version=5, body_type=3, padding=b""),
}
_PKI = IntelPki(KeyRing())


def numbered(first: int, size: int) -> bytes:
    return bytes((first + i) % 256 for i in range(size))


FIELDS: dict[str, Any] = {
    "tee_tcb_svn": numbered(1, 16),
    "mr_seam": numbered(20, 48),
    "mr_signer_seam": numbered(30, 48),
    "seam_attributes": numbered(40, 8),
    "td_attributes": 0x0807060504030201,
    "xfam": numbered(50, 8),
    "mr_td": numbered(60, 48),
    "mr_config_id": numbered(70, 48),
    "mr_owner": numbered(80, 48),
    "mr_owner_config": numbered(90, 48),
    "rtmr0": numbered(100, 48),
    "rtmr1": numbered(110, 48),
    "rtmr2": numbered(120, 48),
    "rtmr3": numbered(130, 48),
    "report_data": numbered(140, 64),
    "tee_tcb_svn2": numbered(150, 16),
    "mr_service_td": numbered(160, 48),
}
PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\0"


def synthetic(layout: QuoteFormat, **arguments: Any) -> bytes:
    return build_quote(
        TdFields(**FIELDS),
        pck=_PKI.pck(Platform()),
        attestation_key=_PKI.attestation_key(Platform()),
        chain=(_PKI.pck_ca, _PKI.root),
        layout=layout,
        **arguments,
    )


QUOTES = {name: synthetic(layout) for name, layout in LAYOUTS.items()}
SMALL = synthetic(LAYOUTS["v4"], chain_text=PEM)
every_kind = pytest.mark.parametrize("kind", QUOTES)


def code_of(raw: bytes) -> str:
    with pytest.raises(FormatError) as refused:
        parse_quote(raw)
    return refused.value.code


def patched(raw: bytes, at: int, value: bytes) -> bytes:
    return raw[:at] + value + raw[at + len(value) :]


# --- fields ---------------------------------------------------------------------------------------------------------


@every_kind
def test_every_field_is_read_from_its_place(kind: str) -> None:
    quote = parse_quote(QUOTES[kind])
    report = quote.report
    expected = {**FIELDS, "td_attributes": struct.pack("<Q", FIELDS["td_attributes"])}
    if kind != "v5 TD 1.5":
        expected |= {"tee_tcb_svn2": None, "mr_service_td": None}
    assert {name: getattr(report, name) for name in expected} == expected
    assert report.rtmrs == (report.rtmr0, report.rtmr1, report.rtmr2, report.rtmr3)
    assert quote.version == (4 if kind == "v4" else 5)
    assert (quote.attestation_key_type, quote.reserved, quote.padding) == (2, bytes(4), 0)
    assert quote.raw == QUOTES[kind]


@every_kind
def test_the_header_and_the_signature_data(kind: str) -> None:
    layout = LAYOUTS[kind]
    changed = QuoteFormat(
        version=layout.version,
        body_type=layout.body_type,
        attestation_key_type=0x0302,
        header_reserved=b"\x01\x02\x03\x04",
        vendor=numbered(7, 16),
        qe_id=numbered(9, 16),
        header_tail=b"\x05\x06\x07\x08",
        outer_type=0x0907,
        inner_type=0x0503,
        padding=b"",
    )
    quote = parse_quote(synthetic(changed, qe=QeFields(auth_data=b"abc", report_data=numbered(3, 64))))
    assert quote.attestation_key_type == 0x0302
    assert (quote.reserved, quote.qe_vendor) == (b"\x01\x02\x03\x04", numbered(7, 16))
    assert quote.user_data == numbered(9, 16) + b"\x05\x06\x07\x08"
    signature = quote.signature
    assert (signature.outer_type, signature.inner_type, signature.outer_size_exact) == (0x0907, 0x0503, True)
    assert (signature.qe_auth_data, signature.qe_report_data) == (b"abc", numbered(3, 64))
    chain = "".join(part.pem for part in (_PKI.pck(Platform()), _PKI.pck_ca, _PKI.root))
    assert signature.pck_chain == chain.encode()


def assert_same_as_dcap(quote: TdxQuote) -> None:
    other = dcap_qvl.parse_quote(quote.raw)
    theirs, ours = other.report, quote.report
    same = ["tee_tcb_svn", "mr_seam", "mr_signer_seam", "seam_attributes", "td_attributes", "xfam", "mr_td"]
    same += ["mr_config_id", "mr_owner", "mr_owner_config", "report_data"]
    assert [getattr(ours, name) for name in same] == [bytes(getattr(theirs, name)) for name in same]
    assert ours.rtmrs == tuple(bytes(getattr(theirs, f"rt_mr{i}")) for i in range(4))
    if ours.tee_tcb_svn2 is not None:
        assert ours.tee_tcb_svn2 == bytes(theirs.tee_tcb_svn2)
        assert ours.mr_service_td == bytes(theirs.mr_service_td)
    header = other.header
    assert (quote.version, quote.attestation_key_type) == (header.version, header.attestation_key_type)
    assert (quote.qe_vendor, quote.user_data) == (bytes(header.qe_vendor_id), bytes(header.user_data))
    assert quote.signature.pck_chain == bytes(other.cert_chain_pem_bytes()).rstrip(b"\0")


@every_kind
def test_dcap_reads_the_same_values(kind: str) -> None:
    assert_same_as_dcap(parse_quote(QUOTES[kind]))


def test_real_quotes_have_the_form_that_the_checks_demand_and_dcap_reads_the_same_values() -> None:
    quotes = real.quotes()
    assert len(quotes) >= 20
    for raw in quotes:
        quote = parse_quote(raw)
        assert_same_as_dcap(quote)
        signature = quote.signature
        assert (quote.version, quote.attestation_key_type, quote.reserved) == (4, 2, bytes(4))
        assert (signature.outer_type, signature.outer_size_exact, signature.inner_type) == (6, True, 5)
        assert quote.padding in (70, 307)
        assert len(signature.qe_auth_data) == 32


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1, 2, 3, 6, 0x0400, 0xFFFF])
def test_other_versions_are_no_tdx_quotes(version: int) -> None:
    assert code_of(patched(QUOTES["v4"], 0, struct.pack("<H", version))) == "not_tdx_quote"


@pytest.mark.parametrize("tee_type", [0, 1, 0x80, 0x82, 0x8100, 0x81000000, 0x00010081])
@every_kind
def test_other_tee_types_are_no_tdx_quotes(kind: str, tee_type: int) -> None:
    assert code_of(patched(QUOTES[kind], 4, struct.pack("<I", tee_type))) == "not_tdx_quote"


def test_an_sgx_quote_of_version_3_is_refused() -> None:
    sgx = struct.pack("<HHIHH", 3, 2, 0, 0, 0) + QUOTES["v4"][12:48] + bytes(384) + struct.pack("<I", 600) + bytes(600)
    assert code_of(sgx) == "not_tdx_quote"


@pytest.mark.parametrize(
    ("body_type", "size"),
    [(4, 885), (1, 384), (0, 584), (5, 584), (2, 648), (3, 584), (2, 585), (2, 0), (3, 2**32 - 1)],
)
def test_other_bodies_of_version_5_are_refused(body_type: int, size: int) -> None:
    assert code_of(patched(QUOTES["v5 TD 1.5"], 48, struct.pack("<HI", body_type, size))) == "not_tdx_quote"


def test_the_extended_body_is_refused_although_dcap_reads_it() -> None:
    raw = synthetic(QuoteFormat(version=5, body_type=4))
    assert dcap_qvl.parse_quote(raw).is_tdx()
    assert code_of(raw) == "not_tdx_quote"


@every_kind
def test_every_truncation_is_refused(kind: str) -> None:
    raw = QUOTES[kind]
    for size in range(len(raw)):
        assert code_of(raw[:size]) == "quote_truncated"


@every_kind
@pytest.mark.parametrize("size", [1, 70, 307, MAX_QUOTE_PADDING])
def test_zero_padding_is_accepted(kind: str, size: int) -> None:
    quote = parse_quote(QUOTES[kind] + bytes(size))
    assert quote.padding == size
    assert quote.report == parse_quote(QUOTES[kind]).report


@every_kind
def test_padding_is_bounded_and_nothing_but_zeros(kind: str) -> None:
    assert code_of(QUOTES[kind] + bytes(MAX_QUOTE_PADDING + 1)) == "quote_trailing_bytes"
    for place in (0, 1, 69):
        tail = bytearray(70)
        tail[place] = 1
        raw = QUOTES[kind] + bytes(tail)
        assert code_of(raw) == "quote_trailing_bytes"
        assert dcap_qvl.parse_quote(raw).is_tdx()  # dcap-qvl ignores what follows


def test_size_is_bounded() -> None:
    assert code_of(SMALL + bytes(MAX_QUOTE)) == "quote_too_large"
    assert code_of(b"") == "quote_truncated"


@every_kind
@pytest.mark.parametrize(("change", "code"), [(1, "quote_truncated"), (-1, "quote_length"), (2**31, "quote_truncated")])
def test_signature_data_of_another_length(kind: str, change: int, code: str) -> None:
    raw, at = QUOTES[kind], AUTH_LENGTH[kind]
    (size,) = struct.unpack_from("<I", raw, at)
    # A byte too few leaves the chain's last NUL behind as padding, and the chain's own length gives it away.
    assert code_of(patched(raw, at, struct.pack("<I", size + change))) == code


def test_signature_data_that_is_too_long_by_a_byte_of_padding() -> None:
    raw, at = QUOTES["v4"] + b"\0", AUTH_LENGTH["v4"]
    (size,) = struct.unpack_from("<I", raw, at)
    assert code_of(patched(raw, at, struct.pack("<I", size + 1))) == "quote_length"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 133, 134, 517, 518, 583])
def test_signature_data_without_room_for_its_fixed_parts(size: int) -> None:
    raw = SMALL[: AUTH_LENGTH["v4"]] + struct.pack("<I", size) + bytes(size)
    assert code_of(raw) == "quote_length"


@pytest.mark.parametrize(
    ("offset", "value", "code"),
    [
        (582, struct.pack("<H", 0xFFFF), "quote_length"),  # authentication data of the quoting enclave
        (582, struct.pack("<H", 31), "quote_length"),
        (582, struct.pack("<H", 33), "quote_length"),
        (618, struct.pack("<I", len(PEM) + 1), "quote_length"),
        (618, struct.pack("<I", len(PEM) - 1), "quote_length"),
        (618, struct.pack("<I", 0), "quote_length"),
        (618, struct.pack("<I", 2**32 - 1), "quote_length"),
    ],
)
def test_inner_lengths_must_be_exact(offset: int, value: bytes, code: str) -> None:
    assert code_of(patched(SMALL, AUTH_LENGTH["v4"] + 4 + offset, value)) == code


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_an_inexact_outer_length_is_reported(change: int) -> None:
    at = AUTH_LENGTH["v4"] + 4 + 130
    (size,) = struct.unpack_from("<I", SMALL, at)
    assert not parse_quote(patched(SMALL, at, struct.pack("<I", size + change))).signature.outer_size_exact


# --- properties -----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_raise_nothing_else(raw: bytes) -> None:
    assert code_of(raw) in CODES


@given(
    st.sampled_from(sorted(QUOTES)),
    st.lists(st.tuples(st.integers(0, 1400), st.integers(0, 255)), max_size=4),
    st.integers(0, 40),
    st.binary(max_size=8),
)
def test_mutated_quotes_raise_nothing_else(kind: str, edits: list[tuple[int, int]], cut: int, tail: bytes) -> None:
    raw = bytearray(QUOTES[kind])
    for place, value in edits:
        raw[place] = value
    quote = attempt(lambda: parse_quote(bytes(raw[: len(raw) - cut]) + tail))
    if isinstance(quote, Refused):
        assert quote.code in CODES
    else:
        assert quote.padding <= MAX_QUOTE_PADDING
        assert not quote.raw[len(quote.raw) - quote.padding :].strip(b"\0")
