"""Certificates that no vendor would make, at every place of a session that holds some: refused, and nothing else."""

from __future__ import annotations

import functools
import struct
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from captures import NEAR_CAPTURES
from teeverify.saved import SavedReport
from teeverify.verdict import Outcome

from .tampering import Session, put, session_of
from .test_tamper_bytes import gpu_entry

_NAME: Final = "near-direct-2026-06-29"


@functools.cache
def _odd_certificate() -> bytes:
    """A certificate whose country has three letters, about which the X.509 library warns when it reads the name."""
    key = ec.generate_private_key(ec.SECP384R1())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        country = x509.NameAttribute(NameOID.COUNTRY_NAME, "USA", _validate=False)
        name = x509.Name([country, x509.NameAttribute(NameOID.COMMON_NAME, "GH100 A01 GSP FMC LF")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(5).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2040, 1, 1))
    return builder.sign(key, SHA384()).public_bytes(Encoding.PEM)


def _quote_with_chain(quote: bytes, chain: bytes) -> bytes:
    """The quote with another PCK chain, its three lengths corrected."""
    (inner,) = struct.unpack_from("<I", quote, 1254)
    changed = bytearray(quote[:1258] + chain + quote[1258 + inner :])
    struct.pack_into("<I", changed, 1254, len(chain))
    for place in (632, 766):
        (size,) = struct.unpack_from("<I", quote, place)
        struct.pack_into("<I", changed, place, size - inner + len(chain))
    return bytes(changed)


def _pck_issuer(session: Session) -> SavedReport:
    quote = bytes.fromhex(session.body["intel_quote"])
    end = b"-----END CERTIFICATE-----\n"
    leaf, _, root = quote[1258 : quote.rindex(end) + len(end)].split(end)[:3]
    chain = leaf + end + _odd_certificate() + root + end
    return session.with_body(put(session.body, ("intel_quote",), _quote_with_chain(quote, chain).hex()))


def _collateral_signer(session: Session) -> SavedReport:
    place = session.places("qe/identity")[0]
    headers = dict(session.report.exchanges[place].response.headers)
    chain = _odd_certificate().decode() * 2
    return session.with_answer(place, headers={**headers, "sgx-enclave-identity-issuer-chain": (chain,)})


PLACES: Final[dict[str, Callable[[Session], SavedReport]]] = {
    "GPU chain": lambda session: session.with_body(gpu_entry(session, 0, certificate=_odd_certificate() * 2)),
    "app certificate": lambda s: s.with_body(put(s.body, ("info", "app_cert"), _odd_certificate().decode() * 3)),
    "PCK issuer": _pck_issuer,
    "collateral signer": _collateral_signer,
}


@pytest.mark.parametrize("place", PLACES)
def test_an_odd_name_is_refused(place: str) -> None:
    session = session_of(_NAME, NEAR_CAPTURES[_NAME])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert session.judge(PLACES[place](session)).outcome is Outcome.REJECTED


@pytest.mark.parametrize("place", PLACES)
def test_an_odd_name_warns_nobody(place: str) -> None:
    """Where warnings are errors, as in these tests, a warning would be an exception out of a verify call."""
    session = session_of(_NAME, NEAR_CAPTURES[_NAME])
    assert session.judge(PLACES[place](session)).outcome is Outcome.REJECTED


def test_the_same_chain_put_back_is_verified() -> None:
    session = session_of(_NAME, NEAR_CAPTURES[_NAME])
    quote = bytes.fromhex(session.body["intel_quote"])
    (inner,) = struct.unpack_from("<I", quote, 1254)
    assert _quote_with_chain(quote, quote[1258 : 1258 + inner]) == quote
