"""Faults of keys, certificates and ids: which machine is it, and for whom was its evidence made?"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from teeverify.testing.certificates import day, name
from teeverify.testing.chutes import ChutesSession
from teeverify.testing.chutes_instance import ChutesInstance
from teeverify.testing.chutes_world import ml_kem_key_text

from .model import EVIDENCE, KEYS, VERIFIED, ChutesDefect, answer, instance, key_of, session, turn

__all__ = ["BINDING", "OTHER_NONCE"]

OTHER_NONCE: Final = bytes(range(100, 132))
"""A nonce that no client of the simulation asks with."""

BOUND: Final = "binding.report_data"
FRESH: Final = "freshness.nonce_bound"
DISTINCT: Final = "binding.distinct_instances"
WELLFORMED: Final = "evidence.wellformed"
COMPLETE: Final = "evidence.complete"


@cache
def _rsa_certificate() -> tuple[bytes, bytes]:
    """DER of a self-signed RSA certificate as the real machines have, and its key as PKCS#1 (RFC 8017, A.1.1)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    who = name(("CN", "attestation-service"))
    builder = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    dated = builder.serial_number(1).not_valid_before(day("2026-05-01")).not_valid_after(day("2126-04-07"))
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    return dated.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER), public


def _pkcs1(own: ChutesInstance, *_: object) -> None:
    own.shown_certificate, public = _rsa_certificate()
    own.report_data = own.binding + hashlib.sha256(public).digest()


def _lost(own: ChutesInstance, _: ChutesInstance, whole: ChutesSession) -> None:
    whole.failed_instance_ids.append(own.instance_id)
    own.evidence_entries = 0


def _swap_ids(whole: ChutesSession) -> None:
    first, second = whole.instances[-2:]
    first.evidence_id, second.evidence_id = second.instance_id, first.instance_id


def _last(member: str) -> Any:
    """Sets a member of the last instance from the one before."""

    def spoil(whole: ChutesSession) -> None:
        first, second = whole.instances[-2:]
        value = first.instance_id if member == "evidence_id" else getattr(first, member.removeprefix("shown_"))
        setattr(second, member, value)

    return spoil


def _same_quote(document: dict[str, Any]) -> None:
    document["evidence"][0]["quote"] = document["evidence"][1]["quote"]


def _strange_key(_: ChutesInstance, __: ChutesInstance, whole: ChutesSession) -> str:
    return ml_kem_key_text(whole.keys, "stranger")


BINDING: Final[tuple[ChutesDefect, ...]] = (
    # for whom
    instance(
        "swapped-key", turn(shown_key=_strange_key), "The control plane shows another key for an instance.", BOUND
    ),
    instance(
        "replayed-nonce",
        turn(attested_nonce=OTHER_NONCE),
        "An instance's evidence is an old one, made for another client's nonce.",
        FRESH,
        BOUND,
    ),
    session("ids-swapped", _swap_ids, "Two instances stand under each other's id.", BOUND, instances=2),
    # certificates
    instance(
        "certificate-replaced",
        turn(shown_certificate=lambda _, other, __: other.certificate.der),
        "An instance shows another one's certificate.",
        BOUND,
        instances=2,
    ),
    instance("certificate-missing", turn(shows_certificate=False), "An instance shows no certificate.", COMPLETE),
    instance("certificate-garbage", turn(shown_certificate=b"no certificate"), "The certificate is none.", WELLFORMED),
    instance(
        "certificate-and-more",
        turn(shown_certificate=lambda own, *_: own.certificate.der + b"\0"),
        "A byte follows the certificate.",
        WELLFORMED,
    ),
    instance(
        "certificate-bare-key",
        turn(shown_certificate=lambda own, *_: own.certificate.spki),
        "The certificate's key stands in the place of the certificate.",
        WELLFORMED,
    ),
    instance(
        "certificate-hashed-as-pkcs1",
        _pkcs1,
        "The quote names the hash of the certificate's RSA key in PKCS#1, not of its SubjectPublicKeyInfo.",
        BOUND,
    ),
    # keys
    instance("key-with-a-space", turn(shown_key=lambda own, *_: own.key + " "), "A space follows the key.", WELLFORMED),
    instance(
        "key-without-padding",
        turn(shown_key=lambda own, *_: own.key.rstrip("=")),
        "The key has no padding.",
        WELLFORMED,
    ),
    instance("key-too-short", key_of(lambda key: key[:-1]), "The key is a byte short.", WELLFORMED),
    instance("key-too-long", key_of(lambda key: key + b"\0"), "The key is a byte long.", WELLFORMED),
    instance(
        "key-first-coefficient",
        key_of(lambda key: b"\x01\x0d\x00" + key[3:]),
        "The key's first coefficient is the modulus.",
        WELLFORMED,
    ),
    instance(
        "key-last-coefficient",
        key_of(lambda key: key[:1149] + b"\x00\x10\xd0" + key[1152:]),
        "The key's last coefficient is the modulus.",
        WELLFORMED,
    ),
    instance("key-bound-but-none", turn(key="bm8ga2V5"), "The quote binds a text that is no ML-KEM key.", WELLFORMED),
    instance("key-empty", turn(shown_key=""), "The key is an empty text.", COMPLETE),
    answer("key-null", KEYS, lambda d: d["instances"][-1].update(e2e_pubkey=None), "The key is null.", COMPLETE),
    answer("key-missing", KEYS, lambda d: d["instances"][-1].pop("e2e_pubkey"), "The key is left out.", COMPLETE),
    # the two lists
    instance("evidence-without-key", turn(key_entries=0), "There is evidence of an instance without a key.", COMPLETE),
    instance("key-without-evidence", turn(evidence_entries=0), "There is a key without evidence.", COMPLETE),
    instance("instance-failed", _lost, "An instance's evidence could not be collected, says Chutes.", COMPLETE),
    instance(
        "instance-failed-with-evidence",
        lambda own, _, whole: whole.failed_instance_ids.append(own.instance_id),
        "An instance has evidence, and is listed among those without.",
        WELLFORMED,
    ),
    instance("key-twice", turn(key_entries=2), "An instance stands in the list of keys twice.", WELLFORMED),
    instance(
        "evidence-twice", turn(evidence_entries=2), "An instance stands in the evidence twice.", DISTINCT, WELLFORMED
    ),
    session(
        "id-of-two",
        _last("evidence_id"),
        "Two machines' evidence stands under one id.",
        DISTINCT,
        WELLFORMED,
        instances=2,
    ),
    session("same-key", _last("key"), "Two instances have one key, and their quotes bind it.", DISTINCT, instances=2),
    session(
        "same-key-shown", _last("shown_key"), "Two instances are shown with one key.", DISTINCT, BOUND, instances=2
    ),
    answer("same-quote", EVIDENCE, _same_quote, "Two ids carry one quote.", DISTINCT, BOUND, instances=2),
    answer(
        "failed-ids-null",
        EVIDENCE,
        lambda d: d.update(failed_instance_ids=None),
        "The list of losses is null, which means empty.",
        outcome=VERIFIED,
    ),
)
"""Whose evidence it is, certificates, keys, and how the two lists fit."""
