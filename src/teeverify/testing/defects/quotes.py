"""Faults of the quote: its frame, its signatures, its certificates, and the TD's own attributes."""

from __future__ import annotations

import hashlib
from typing import Any

from attrs import evolve

from teeverify.testing.certificates import Issued
from teeverify.testing.intel import IntelPki
from teeverify.testing.keys import raw_public
from teeverify.testing.near import NearSession
from teeverify.testing.near_report import quote_data, report
from teeverify.testing.pcs import PcsService
from teeverify.testing.recording import Document

from .model import defect

KIND = ("tdx.quote_kind", "evidence.wellformed")
CHAIN = ("tdx.quote_signature", "tdx.quote_kind")


def _layout(session: NearSession, **changes: Any) -> None:
    session.model.layout = evolve(session.model.layout, **changes)


def _with_quote(session: NearSession, quote: bytes) -> Document:
    return session.saved({**report(session), "intel_quote": quote.hex()})


def _truthful(session: NearSession) -> bytes:
    return session.model.quote(quote_data(session, session.model))


def _flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


# --- frame ---------------------------------------------------------------------------------------------------------


@defect(*KIND, shipped=False)
def quote_version_unknown(session: NearSession) -> None:
    """The header says version 6; the quote is signed over it."""
    _layout(session, version=6)


@defect(*KIND)
def quote_tee_type_sgx(session: NearSession) -> None:
    """The header says that this is an SGX quote."""
    _layout(session, tee_type=0)


@defect(*KIND, shipped=False)
def quote_key_type_p384(session: NearSession) -> None:
    """The header announces a P-384 attestation key."""
    _layout(session, attestation_key_type=3)


@defect(*KIND, shipped=False)
def quote_vendor_foreign(session: NearSession) -> None:
    """The quoting enclave is of another vendor than Intel."""
    _layout(session, vendor=bytes(range(16)))


@defect(*KIND)
def quote_header_reserved(session: NearSession) -> None:
    """Reserved header bytes are not zero, under a good signature."""
    _layout(session, header_reserved=b"\x01\x00\x00\x00")


@defect(*KIND, "dstack.reported_info", shipped=False)
def quote_header_tail(session: NearSession) -> None:
    """The last four header bytes are not zero, under a good signature."""
    _layout(session, header_tail=b"\x00\x00\x00\x01")


@defect(*KIND)
def quote_outer_type(session: NearSession) -> None:
    """The outer certification data has another type than 6; no signature covers it."""
    _layout(session, outer_type=5)


@defect(*KIND, "tdx.quote_signature", shipped=False)
def quote_inner_type(session: NearSession) -> None:
    """The inner certification data has another type than 5."""
    _layout(session, inner_type=4)


@defect("evidence.wellformed", "tdx.quote_kind")
def quote_trailing_bytes(session: NearSession) -> None:
    """Bytes that are not zero follow the signature data."""
    _layout(session, padding=bytes(66) + b"EVIL")


@defect("evidence.wellformed", "tdx.quote_kind", shipped=False)
def quote_truncated(session: NearSession) -> Document:
    """The quote ends inside its certificates."""
    return _with_quote(session, _truthful(session)[:-1000])


@defect(*KIND, "tdx.quote_signature", shipped=False)
def quote_v5_wrong_size(session: NearSession) -> None:
    """A version 5 quote whose descriptor gives another body size."""
    _layout(session, version=5, body_type=2, body_size=585)


@defect(*KIND, shipped=False)
def quote_v5_extended_body(session: NearSession) -> None:
    """A version 5 quote with the extended TD 1.5 body, which nobody reviewed."""
    _layout(session, version=5, body_type=4)


@defect("evidence.wellformed", shipped=False)
def quote_hex_spaces(session: NearSession) -> Document:
    """The quote's hex text has white space in it, which lenient decoders skip."""
    document = report(session)
    text = document["intel_quote"]
    return session.saved({**document, "intel_quote": f"{text[:64]} {text[64:]}"})


@defect("evidence.wellformed", shipped=False)
def quote_hex_odd(session: NearSession) -> Document:
    """The quote's hex text has an odd length."""
    document = report(session)
    return session.saved({**document, "intel_quote": document["intel_quote"][:-1]})


# --- signatures ----------------------------------------------------------------------------------------------------


@defect("tdx.quote_signature")
def quote_signature_flipped(session: NearSession) -> Document:
    """One bit of the quote's signature is flipped."""
    return _with_quote(session, _flipped(_truthful(session), 640))


@defect("tdx.quote_signature", shipped=False)
def quote_body_edited(session: NearSession) -> Document:
    """REPORTDATA names the attacker's key; the quote is not signed again."""
    session_quote = _truthful(session)
    intruder = session.keys.ed25519("intruder").public_key().public_bytes_raw()
    session.model.signing = evolve(session.model.signing, address_override=intruder, public_override=intruder)
    data = quote_data(session, session.model)
    return _with_quote(session, session_quote[:568] + data + session_quote[632:])


@defect("tdx.quote_signature", shipped=False)
def quote_signature_zero(session: NearSession) -> None:
    """The quote's signature is all zeros."""
    session.model.quote_changes["signature"] = bytes(64)


@defect("tdx.quote_signature", shipped=False)
def attestation_key_replaced(session: NearSession) -> None:
    """The attacker signs with a key of his own; the quoting enclave's report names the genuine one."""
    genuine = session.intel.attestation_key(session.model.platform)
    session.model.quote_changes.update(attestation_key=session.keys.p256("intruder/ak"), qe_binds=genuine)


@defect("tdx.quote_signature", shipped=False)
def qe_report_signed_by_other(session: NearSession) -> None:
    """The quoting enclave's report is signed by another key than the PCK leaf's."""
    session.model.quote_changes["qe_sign_with"] = session.keys.p256("intruder/pck")


@defect("tdx.quote_kind", "tdx.quote_signature", "evidence.wellformed")
def qe_report_data_tail(session: NearSession) -> None:
    """The second half of the quoting enclave's report data is not zero, under a good signature."""

    model = session.model
    key = raw_public(session.intel.attestation_key(model.platform))
    data = hashlib.sha256(key + model.qe.auth_data).digest() + b"\x01" + bytes(31)
    model.qe = evolve(model.qe, report_data=data)


# --- certificates --------------------------------------------------------------------------------------------------


def _intruder(session: NearSession) -> IntelPki:
    return IntelPki(session.keys, "intruder")


def _chain(session: NearSession, *chain: Issued) -> None:
    session.model.quote_changes["chain"] = chain


@defect("tdx.quote_signature", "tdx.quote_kind")
def quote_foreign_pki(session: NearSession) -> None:
    """The whole quote comes from a PKI of the attacker that copies Intel's names; the collateral is genuine."""
    session.model.pki = _intruder(session)


@defect("tdx.quote_signature", "tdx.quote_kind", shipped=False)
def quote_and_collateral_foreign_pki(session: NearSession) -> None:
    """Quote and all of Intel's answers come from the attacker's PKI, consistently."""
    session.model.pki = _intruder(session)
    session.pcs = PcsService(pki=session.model.pki, issued=session.pcs.issued)


@defect("tdx.quote_signature", "tdx.quote_kind")
def quote_forged_chain_real_root(session: NearSession) -> None:
    """The attacker's leaf and CA are followed by the trusted root."""
    session.model.pki = _intruder(session)
    _chain(session, session.model.pki.pck_ca, session.intel.root)


@defect(*CHAIN)
def quote_root_replaced(session: NearSession) -> None:
    """The third certificate in the quote is another root of the same name; the first two are genuine."""
    _chain(session, session.intel.pck_ca, _intruder(session).root)


@defect(*CHAIN, shipped=False)
def quote_root_left_out(session: NearSession) -> None:
    """The quote holds two certificates instead of three."""
    _chain(session, session.intel.pck_ca)


@defect(*CHAIN)
def quote_pck_under_root(session: NearSession) -> None:
    """The PCK leaf is issued by the root itself."""
    session.model.pck = session.intel.pck(session.model.platform, issuer=session.intel.root)
    _chain(session, session.intel.root)


@defect(*CHAIN, shipped=False)
def quote_pck_wrong_name(session: NearSession) -> None:
    """The certificate in the leaf's place is named like something else, under the genuine CA."""
    session.model.pck = session.intel.pck(session.model.platform, common_name="teeverify TEST leaf")


@defect(*CHAIN, shipped=False)
def quote_ca_wrong_name(session: NearSession) -> None:
    """The CA in the PCK CA's place is named like something else, under the genuine root."""
    ca = session.intel.issue("teeverify TEST Platform CA", session.intel.root, ca=True, path_length=0)
    session.model.pck = session.intel.pck(session.model.platform, issuer=ca)
    _chain(session, ca, session.intel.root)
    session.pcs.pki = evolve_pki(session.intel, ca)


def evolve_pki(pki: IntelPki, ca: Issued) -> IntelPki:
    """The same PKI with another PCK CA, so that its revocation list fits."""
    changed = IntelPki(pki.keys, pki.label)
    changed.pck_ca = ca
    return changed
