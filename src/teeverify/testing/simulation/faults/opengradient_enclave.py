"""Faults of what a simulated enclave of OpenGradient shows of itself: its document and its keys."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from attrs import evolve

from teeverify.testing.cbor import encode
from teeverify.testing.keys import KeyRing
from teeverify.testing.nitro import NitroEnclave, NitroPki, client_user_data
from teeverify.testing.opengradient import OpenGradientSession
from teeverify.testing.rsa import rsa_key
from teeverify.testing.simulation.fault import CLOCK, EVIDENCE, INCONCLUSIVE, REJECTED
from teeverify.testing.simulation.opengradient.fault import OpenGradientFault

__all__ = ["enclave_clock_faults", "enclave_faults"]

Knob = Callable[[NitroEnclave], Any]


def enclave_faults() -> tuple[OpenGradientFault, ...]:
    """All of them."""
    return (*_documents(), *_bodies(), *_chains(), *_contents(), *_signing_keys(), *_ohttp_keys())


def enclave_clock_faults() -> tuple[OpenGradientFault, ...]:
    """Everything is dated wrongly: the document, the block, the answers."""
    hour = timedelta(hours=1)
    return tuple(
        OpenGradientFault(
            name=name,
            area=CLOCK,
            description=words,
            outcomes=(REJECTED,),
            checks=frozenset({"nitro.timestamp", "registry.entry"}),
            shift=shift,
        )
        for name, words, shift in (
            ("clock-ahead", "Everything is dated an hour ahead.", hour),
            ("clock-behind", "Everything is dated an hour back.", -hour),
        )
    )


def _documents() -> tuple[OpenGradientFault, ...]:
    """Documents that are old, another's, or none."""

    def turned(enclave: NitroEnclave) -> None:
        enclave.signature = bytes(96)

    return (
        _fault("replayed-nonce", "An old document, made for another nonce.", "freshness.nonce_bound", _old_nonce),
        _document(
            "document-stale", "The document is six minutes old.", "nitro.timestamp",
            lambda e: _set(e, at=e.at - timedelta(minutes=6)),
        ),
        _document(
            "document-ahead", "The document is dated two minutes ahead.", "nitro.timestamp",
            lambda e: _set(e, at=e.at + timedelta(minutes=2)),
        ),
        _document("document-forged", "The document's signature is none.", "nitro.cose_signature", turned),
        _document(
            "document-stranger-signs", "A stranger signed the document.", "nitro.cose_signature",
            lambda e: _set(e, signer=e.keys.p384("nitro/intruder")),
        ),
        _document(
            "document-other-algorithm", "The document says that it is signed with ES256.", "evidence.wellformed",
            lambda e: _set(e, protected=encode({1: -7})),
        ),
        _document(
            "document-without-nonce", "The document holds no nonce.", "freshness.nonce_bound",
            lambda e: e.members.update(nonce=None),
        ),
        _document(
            "document-pcr-missing", "The document lacks PCR1.", "evidence.wellformed", lambda e: e.pcrs.pop(1),
        ),
        _document(
            "document-pcr-short", "PCR0 has 32 bytes.", "evidence.wellformed", lambda e: e.pcrs.update({0: bytes(32)}),
        ),
    )  # fmt: skip


def _bodies() -> tuple[OpenGradientFault, ...]:
    """Bodies that are no document, or more than one."""
    debug = base64.b64encode(b'{"pcrs":{"0":"AAAA"},"nonce":"AAAA"}') + b"\n"

    def body(path: str, change: Callable[[bytes], bytes]) -> Callable[[str, bytes], bytes]:
        return lambda asked, original: change(original) if asked == path else original

    def trailing(original: bytes) -> bytes:
        return base64.b64encode(base64.b64decode(original) + b"\x00") + b"\n"

    document, keys = "/enclave/attestation", "/signing-key"
    return tuple(
        OpenGradientFault(
            name=name,
            area=EVIDENCE,
            description=words,
            outcomes=(REJECTED,),
            checks=frozenset({"evidence.wellformed"}),
            enclave=body(path, change),
        )
        for name, words, path, change in (
            ("document-debug-json", "nitriding's debug mode: JSON in place of a document.", document, lambda _: debug),
            ("document-trailing-byte", "A byte follows the document.", document, trailing),
            ("document-not-base64", "The document is not base64.", document, lambda b: b"!" + b),
            ("document-large", "The document is followed by 20 KiB of base64.", document, lambda b: b + b"A" * 20480),
            ("keys-null", "The answer about the signing key is null.", keys, lambda _: b"null"),
            ("keys-not-json", "The answer about the signing key is no JSON.", keys, lambda b: b[:-1]),
            ("keys-member-twice", "The signing key is there twice.", keys, lambda b: b'{"public_key":"",' + b[1:]),
        )
    )


def _chains() -> tuple[OpenGradientFault, ...]:
    """Chains that do not lead to AWS's root."""

    def foreign(enclave: NitroEnclave) -> None:
        strangers = NitroPki(KeyRing("a stranger's seed"))
        enclave.chain = strangers.chain(enclave.at)
        enclave.leaf = strangers.leaf(enclave.chain[-1], enclave.at)

    def smuggled(enclave: NitroEnclave) -> None:
        strangers = NitroPki(KeyRing("a stranger's seed"))
        enclave.chain = [enclave.chain[0], *strangers.chain(enclave.at)]
        enclave.leaf = strangers.leaf(enclave.chain[-1], enclave.at)

    def leaf_as_issuer(enclave: NitroEnclave) -> None:
        genuine = enclave.leaf
        enclave.chain = [*enclave.chain, genuine]
        enclave.leaf = NitroPki(enclave.keys).leaf(genuine, enclave.at, key=enclave.keys.p384("nitro/intruder"))

    def expired(enclave: NitroEnclave) -> None:
        enclave.leaf = NitroPki(enclave.keys).leaf(enclave.chain[-1], enclave.at - timedelta(hours=4))

    return (
        _document("chain-foreign-root", "Another root than AWS's stands at the top.", "nitro.cert_chain", foreign),
        _document("chain-smuggled-root", "AWS's root, and a stranger's below it.", "nitro.cert_chain", smuggled),
        _document(
            "chain-leaf-as-issuer", "An enclave's own certificate issued another.", "nitro.cert_chain", leaf_as_issuer
        ),
        _document("chain-leaf-expired", "The enclave's certificate has run out.", "nitro.cert_chain", expired),
    )


def _contents() -> tuple[OpenGradientFault, ...]:
    """Genuine documents of something else."""

    def debug(enclave: NitroEnclave) -> None:
        enclave.pcrs.update({index: bytes(48) for index in (0, 1, 2)})

    def user_data(make: Callable[[NitroEnclave], bytes]) -> Knob:
        return lambda enclave: _set(enclave, user_data=make(enclave))

    def zero_key(enclave: NitroEnclave) -> bytes:
        return client_user_data(enclave.tls_certificate, enclave.signing_key)[:36] + bytes(32)

    def other_prefix(enclave: NitroEnclave) -> bytes:
        return b"\x12\x14" + client_user_data(enclave.tls_certificate, enclave.signing_key)[2:]

    def synchronised(enclave: NitroEnclave) -> None:
        enclave.user_data, enclave.public_key = enclave.keys.material("peer's nonce", 20), bytes(range(32))

    hashes = "nitro.user_data"
    return (
        _document(
            "other-image", "The enclave runs another image, of another customer.", "nitro.pcrs",
            lambda e: e.pcrs.update({0: hashlib.sha384(b"other image").digest()}),
        ),
        _document(
            "other-application", "Kernel and boot are the pinned ones, the application is not.", "nitro.pcrs",
            lambda e: e.pcrs.update({2: hashlib.sha384(b"other application").digest()}),
        ),
        _document("debug-enclave", "The enclave runs in debug mode: its PCRs are zero.", "nitro.not_debug", debug),
        _document(
            "other-tls-certificate", "The document names another certificate than the contract's.", hashes,
            user_data(lambda e: client_user_data(b"another certificate", e.signing_key)),
        ),
        _document(
            "other-key-named", "The document names another signing key than is shown.", hashes,
            user_data(lambda e: client_user_data(e.tls_certificate, b"another key")),
        ),
        _document("no-key-named", "The application never told its key: its hash is zero.", hashes, user_data(zero_key)),
        _document("user-data-prefix", "The hashes have another prefix.", hashes, user_data(other_prefix)),
        _document(
            "user-data-short", "One byte of the hashes is missing.", hashes,
            user_data(lambda e: client_user_data(e.tls_certificate, e.signing_key)[:-1]),
        ),
        _document("key-sync-document", "A document of the same enclave, made for its peers.", hashes, synchronised),
        _document(
            "public-key-set", "The document carries a public key of its own.", hashes,
            lambda e: _set(e, public_key=e.signing_key),
        ),
    )  # fmt: skip


def _signing_keys() -> tuple[OpenGradientFault, ...]:
    """Keys that are shown beside the document."""

    def shown(bits: int, label: str) -> Callable[[OpenGradientSession], None]:
        return lambda session: session.key_changes.update(public_key=rsa_key(session.keys, label, bits=bits).pem)

    def other_id(session: OpenGradientSession) -> None:
        session.key_changes["tee_id"] = f"0x{'ab' * 32}"

    return (
        _fault(
            "swapped-key", "The enclave's answer shows a stranger's signing key.", "nitro.user_data",
            shown(2048, "opengradient/attacker"), "registry.entry",
        ),
        _fault(
            "weak-key", "The signing key that is shown has 1024 bits.", "evidence.wellformed",
            shown(1024, "opengradient/weak"),
        ),
        _fault("stated-other-id", "The enclave states another id than its key has.", "enclave.signing_key", other_id),
        _fault(
            "key-missing", "No signing key is shown.", "evidence.wellformed",
            lambda session: session.key_changes.update(public_key=None),
        ),
    )  # fmt: skip


def _ohttp_keys() -> tuple[OpenGradientFault, ...]:
    """The key that requests are encrypted to, which no document names."""

    def swapped(session: OpenGradientSession) -> None:
        other = evolve(session.ohttp, private=session.keys.material("ohttp/attacker", 32))
        encoded = base64.b64encode(other.key_config).decode()
        session.hpke_changes.update(public_key=other.public.hex(), key_config=encoded)

    def unsigned(session: OpenGradientSession) -> None:
        session.hpke_changes.update(signature=..., tee_id=..., signature_hash=...)

    def stranger(session: OpenGradientSession) -> None:
        session.hpke_signer = rsa_key(session.keys, "opengradient/attacker")

    check = "enclave.ohttp_key"
    return (
        _fault("swapped-ohttp-key", "The key for encryption is swapped; all else is genuine.", check, swapped),
        _fault("ohttp-stranger-signs", "A stranger signed the key for encryption.", check, stranger),
        _fault(
            "ohttp-unsigned", "The key for encryption is not signed, as on early gateways.", check, unsigned,
            outcomes=(INCONCLUSIVE,),
        ),
        _fault(
            "ohttp-missing", "No key for encryption is shown.", check,
            lambda session: session.key_changes.update(hpke=None), outcomes=(INCONCLUSIVE,),
        ),
        _fault(
            "ohttp-other-id", "The key for encryption is signed for another id.", "enclave.signing_key",
            lambda session: session.hpke_changes.update(tee_id=f"0x{'cd' * 32}"),
        ),
        _fault(
            "ohttp-other-suite", "The key for encryption is for another algorithm.", "evidence.wellformed",
            lambda session: session.hpke_changes.update(aead_id=1),
        ),
        _fault(
            "ohttp-hash-wrong", "The enclave misstates what it signed; the signature is good.", check,
            lambda session: session.hpke_changes.update(signature_hash=f"0x{'ee' * 32}"),
        ),
    )  # fmt: skip


def _fault(
    name: str,
    description: str,
    check: str,
    spoil: Callable[[OpenGradientSession], None],
    *more: str,
    outcomes: tuple[str, ...] = (REJECTED,),
) -> OpenGradientFault:
    return OpenGradientFault(
        name=name,
        area=EVIDENCE,
        description=description,
        outcomes=outcomes,
        checks=frozenset((check, *more)),
        spoil=spoil,
    )


def _document(name: str, description: str, check: str, knob: Knob, *more: str) -> OpenGradientFault:
    """A fault of the document alone."""
    return _fault(name, description, check, lambda session: (knob(session.enclave), None)[1], *more)


def _old_nonce(session: OpenGradientSession) -> None:
    session.attested_nonce = session.keys.material("nonce of another client", 20)


def _set(enclave: NitroEnclave, **values: Any) -> None:
    for member, value in values.items():
        setattr(enclave, member, value)
