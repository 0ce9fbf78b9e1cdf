"""Faults of what the quote binds: nonce, signing key, TLS key, OHTTP key, and which model answered."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from teeverify.testing.enclave import report_data
from teeverify.testing.keys import raw_public, spki
from teeverify.testing.near import NearSession
from teeverify.testing.recording import Document, find_exchange
from teeverify.testing.signing import OhttpKey, SigningKey, ethereum_address

from .model import defect

REPORT = "attestation/report"
KEY = ("binding.signing_key", "binding.report_data", "evidence.wellformed")
TLS = ("binding.tls_spki", "binding.report_data", "evidence.complete", "evidence.wellformed")


def _intruder(session: NearSession) -> SigningKey:
    return SigningKey.derive(session.keys, "intruder", session.algorithm)


def _old_nonce(session: NearSession) -> bytes:
    return session.keys.material("old-nonce", 32)


def _live_key(document: Document, key: bytes) -> Document:
    find_exchange(document, REPORT)["response"]["peer_spki"] = base64.b64encode(key).decode()
    return document


# --- nonce ---------------------------------------------------------------------------------------------------------


@defect("freshness.nonce_bound")
def nonce_replayed(session: NearSession) -> None:
    """A complete old report, made for another client's nonce."""
    session.attested_nonce = _old_nonce(session)


@defect("freshness.nonce_bound")
def nonce_replayed_echo_edited(session: NearSession) -> Document:
    """An old report in which every echo of the nonce is ours, and only the quotes tell."""
    session.attested_nonce = _old_nonce(session)
    session.gpu_nonce = session.nonce
    report = session.report()
    manager = report["compose_manager_attestation"]
    report["request_nonce"] = manager["nonce"] = session.nonce.hex()
    manager["report_data"] = manager["report_data"][:64] + session.nonce.hex()
    return session.saved(report)


@defect("freshness.nonce_bound", shipped=False)
def nonce_echo_other(session: NearSession) -> Document:
    """The quote has our nonce, the echo another: the service mixed up two answers."""
    report = session.report()
    report["request_nonce"] = _old_nonce(session).hex()
    return session.saved(report)


@defect("freshness.nonce_bound", "evidence.complete", outcome=("INCONCLUSIVE", "REJECTED"))
def nonce_chosen_by_server(session: NearSession) -> Document:
    """The client sent no nonce, and the file claims as its own the one that the server chose."""
    document = session.saved()
    request = find_exchange(document, REPORT)["request"]
    request["url"] = request["url"].replace(f"nonce={session.nonce.hex()}&", "")
    return document


# --- signing key ---------------------------------------------------------------------------------------------------


@defect("binding.report_data")
def signing_address_swapped(session: NearSession) -> Document:
    """The report shows the attacker's address and key beside the genuine quote."""
    report = session.report()
    intruder = _intruder(session)
    report["signing_address"], report["signing_public_key"] = intruder.address_text, intruder.public.hex()
    report["ohttp_attestation"] = session.model.ohttp.attestation(intruder)
    return session.saved(report)


@defect("binding.report_data", algorithm="ecdsa", shipped=False)
def signing_address_swapped_ecdsa(session: NearSession) -> Document:
    """As above in a report that binds an Ethereum address."""
    report = session.report()
    intruder = _intruder(session)
    report["signing_address"], report["signing_public_key"] = intruder.address_text, intruder.public.hex()
    return session.saved(report)


@defect("binding.signing_key")
def public_key_swapped(session: NearSession) -> None:
    """The address is genuine, the public key that clients encrypt to is the attacker's."""
    session.model.signing = evolve(session.model.signing, public_override=_intruder(session).public)


@defect("binding.signing_key", algorithm="ecdsa", shipped=False)
def public_key_swapped_ecdsa(session: NearSession) -> None:
    """As above with an Ethereum address."""
    session.model.signing = evolve(session.model.signing, public_override=_intruder(session).public)


@defect("binding.signing_key", "evidence.wellformed", algorithm="ecdsa")
def address_by_sha3(session: NearSession) -> None:
    """The address is made with SHA3-256 instead of Keccak-256, and bound by the quote."""
    signing = session.model.signing
    address = hashlib.sha3_256(signing.public).digest()[-20:]
    session.model.signing = evolve(signing, address_override=address)


@defect("binding.signing_key", "evidence.wellformed", algorithm="ecdsa", shipped=False)
def public_key_compressed(session: NearSession) -> None:
    """The public key is in compressed form."""
    signing = session.model.signing
    compressed = signing.secp256k1.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    session.model.signing = evolve(signing, public_override=compressed)


@defect("binding.signing_key", "evidence.wellformed", algorithm="ecdsa", shipped=False)
def public_key_off_curve(session: NearSession) -> None:
    """The public key is no point of the curve, though its hash is the address."""
    public = b"\x01" * 64
    signing = session.model.signing
    session.model.signing = evolve(signing, public_override=public, address_override=ethereum_address(public))


@defect(*KEY)
def address_zero(session: NearSession) -> None:
    """Address and public key are all zeros, and the quote binds them."""
    session.model.signing = evolve(session.model.signing, address_override=bytes(32), public_override=bytes(32))


@defect(*KEY, shipped=False)
def address_empty(session: NearSession) -> None:
    """Address and public key are empty, and the quote binds the TLS fingerprint alone."""
    session.model.signing = evolve(session.model.signing, address_override=b"", public_override=b"")


@defect(*KEY, shipped=False)
def address_short(session: NearSession) -> None:
    """The address has 20 bytes in an Ed25519 report, and the quote binds it."""
    address = session.model.signing.address[:20]
    session.model.signing = evolve(session.model.signing, address_override=address)


@defect("binding.signing_key", "evidence.wellformed", "evidence.complete", "binding.report_data", shipped=False)
def algorithm_other(session: NearSession) -> None:
    """We asked for Ed25519 and got a consistent report that binds an Ethereum address."""
    session.model.signing = evolve(session.model.signing, algorithm="ecdsa")


# --- TLS key -------------------------------------------------------------------------------------------------------


@defect(*TLS)
def fingerprint_removed(session: NearSession) -> Document:
    """The TLS fingerprint is cut out of the report, so that a lenient verifier tries the padded form."""
    report = session.report()
    del report["tls_cert_fingerprint"]
    return session.saved(report)


@defect(*TLS)
def fingerprint_downgraded(session: NearSession) -> None:
    """We asked for the TLS form and got a genuine quote of the padded form, without a fingerprint."""
    session.attested_tls_bound = False


@defect(*TLS, "binding.signing_key")
def digest_posing_as_address(session: NearSession) -> None:
    """The digest of a TLS form is presented as the address of a padded form."""
    model = session.model
    digest = report_data(model.signing.address, model.fingerprint, b"")
    session.attested_tls_bound = False
    model.signing = evolve(model.signing, address_override=digest, public_override=digest)


@defect(*TLS)
def fingerprint_empty(session: NearSession) -> Document:
    """The fingerprint is an empty text, and the quote binds the address alone."""
    return _with_fingerprint(session, b"")


@defect(*TLS, shipped=False)
def fingerprint_short(session: NearSession) -> Document:
    """The fingerprint has 16 bytes, and the quote binds those."""
    return _with_fingerprint(session, session.model.fingerprint[:16])


@defect("channel.tls_spki")
def live_key_other(session: NearSession) -> Document:
    """The connection ended at somebody else who passed a genuine report on."""
    return _live_key(session.saved(), spki(session.keys.p256("intruder/tls")))


@defect("binding.report_data", "binding.tls_spki")
def fingerprint_of_the_intruder(session: NearSession) -> Document:
    """The man in the middle put the fingerprint of his own certificate into the report."""
    intruder = spki(session.keys.p256("intruder/tls"))
    report = session.report()
    report["tls_cert_fingerprint"] = hashlib.sha256(intruder).hexdigest()
    return _live_key(session.saved(report), intruder)


def _with_fingerprint(session: NearSession, fingerprint: bytes) -> Document:
    session.model_report_data = report_data(session.model.signing.address, fingerprint, session.nonce)
    report: dict[str, Any] = session.report()
    report["tls_cert_fingerprint"] = fingerprint.hex()
    return session.saved(report)


# --- model and OHTTP key -------------------------------------------------------------------------------------------


@defect("evidence.complete")
def model_other(session: NearSession) -> Document:
    """The report is about another model than the one that was asked for."""
    report = session.report()
    report["model_name"] = "teeverify-test/other-model"
    return session.saved(report)


@defect(
    "evidence.complete",
    "binding.signing_key",
    "binding.report_data",
    "dstack.reported_info",
    copies=True,
    shipped=False,
)
def copy_differs(session: NearSession) -> Document:
    """``all_attestations`` holds a record with another key than the report itself."""
    report = session.report()
    intruder = _intruder(session)
    copy = report["all_attestations"][0]
    copy["signing_address"], copy["signing_public_key"] = intruder.address_text, intruder.public.hex()
    return session.saved(report)


@defect("binding.e2ee_key")
def ohttp_key_of_another_signer(session: NearSession) -> Document:
    """The OHTTP key is the attacker's, with a good signature by a key that no quote binds."""
    report = session.report()
    own = OhttpKey(public=session.keys.material("intruder/ohttp", 32))
    report["ohttp_attestation"] = own.attestation(_intruder(session))
    report["ohttp_key_config"] = own.key_config.hex()
    return session.saved(report)


@defect("binding.e2ee_key", shipped=False)
def ohttp_signature_broken(session: NearSession) -> Document:
    """The OHTTP key is the attacker's, under the signature of the genuine one."""
    report = session.report()
    own = OhttpKey(public=session.keys.material("intruder/ohttp", 32))
    report["ohttp_attestation"]["key_config"] = report["ohttp_key_config"] = own.key_config.hex()
    return session.saved(report)


@defect("binding.e2ee_key", shipped=False)
def ohttp_key_differs(session: NearSession) -> Document:
    """The signed OHTTP key is genuine, the one beside it that clients would use is not."""
    report = session.report()
    report["ohttp_key_config"] = OhttpKey(public=raw_public(session.keys.p256("intruder"))[:32]).key_config.hex()
    return session.saved(report)
