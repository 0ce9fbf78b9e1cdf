"""Attacks 8.2 on whole sessions: documents, keys and the paths between them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from teeverify.testing import OpenGradientSession, opengradient_policy
from teeverify.testing.keys import KeyRing
from teeverify.testing.nitro import NitroPki, client_user_data
from teeverify.testing.rsa import rsa_key

from .world import World, findings, outcome_of, report_of, verifier_of

Spoil = Callable[[OpenGradientSession], None]


def _foreign(session: OpenGradientSession) -> None:
    keys = KeyRing("somebody else")
    session.enclave = evolve(session.enclave, keys=keys, chain=NitroPki(keys).chain(session.at))
    session.enclave.leaf = NitroPki(keys).leaf(session.enclave.chain[-1], session.at)


def _smuggled_root(session: OpenGradientSession) -> None:
    """N-3: a root of one's own later in the bundle, behind the genuine one."""
    own = NitroPki(KeyRing("somebody else"))
    honest = session.enclave.chain
    chain = [honest[0], own.root]
    session.enclave = evolve(session.enclave, chain=chain, leaf=own.leaf(own.root, session.at))


def _genuine_root_in_front(session: OpenGradientSession) -> None:
    """N-2."""
    keys = KeyRing("somebody else")
    chain = NitroPki(keys).chain(session.at)
    leaf = NitroPki(keys).leaf(chain[-1], session.at)
    session.enclave = evolve(session.enclave, chain=[session.enclave.chain[0], *chain[1:]], leaf=leaf)


def _enclave(**changes: Any) -> Spoil:
    def spoil(session: OpenGradientSession) -> None:
        session.enclave = evolve(session.enclave, **changes)

    return spoil


def _at(delta: timedelta) -> Spoil:
    def spoil(session: OpenGradientSession) -> None:
        session.enclave = evolve(session.enclave, at=session.at + delta)

    return spoil


def _replayed(session: OpenGradientSession) -> None:
    session.attested_nonce = b"\x01" * 20


def _pcrs(value: bytes, *registers: int) -> Spoil:
    def spoil(session: OpenGradientSession) -> None:
        session.enclave.pcrs.update(dict.fromkeys(registers, value))

    return spoil


def _user_data(change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(session: OpenGradientSession) -> None:
        truthful = client_user_data(session.tls.der, session.signing.spki)
        session.enclave = evolve(session.enclave, user_data=change(truthful))

    return spoil


def _attackers_signing_key(session: OpenGradientSession) -> None:
    thief = rsa_key(session.keys, "opengradient/attacker")
    session.key_changes = {"public_key": thief.pem}


def _key(**changes: Any) -> Spoil:
    return lambda session: session.key_changes.update(changes)


def _hpke(**changes: Any) -> Spoil:
    return lambda session: session.hpke_changes.update(changes)


def _unsigned(session: OpenGradientSession) -> None:
    session.hpke_changes.update(dict.fromkeys(("signature", "tee_id", "signature_hash"), ...))


def _signed_by_another(session: OpenGradientSession) -> None:
    session.hpke_signer = rsa_key(session.keys, "opengradient/attacker")


def _other_key_same_signature(session: OpenGradientSession) -> None:
    """N-16, and R-9: the key is swapped, the genuine signature kept."""
    genuine = session.hpke()
    session.ohttp = OpenGradientSession.build(boot="other").ohttp
    session.hpke_changes = {name: genuine[name] for name in ("signature", "signature_hash")}


def _heartbeat_as_config(session: OpenGradientSession) -> None:
    """S-14: another genuine signature of the same key."""
    from teeverify.testing.opengradient_answers import keccak_256

    heartbeat = keccak_256(session.tee_id + int(session.at.timestamp()).to_bytes(32, "big"))
    session.hpke_changes["signature"] = base64.b64encode(session.signing.sign(heartbeat)).decode()


def _short_salt(session: OpenGradientSession) -> None:
    signature = session.signing.sign(session.config_hash(), salt_size=20)
    session.hpke_changes["signature"] = base64.b64encode(signature).decode()


ATTACKS: dict[str, tuple[Spoil, str, tuple[str, str]]] = {
    "N-1 own chain": (_foreign, "nitro.cert_chain", ("fail", "chain_root")),
    "N-2 genuine root in front": (_genuine_root_in_front, "nitro.cert_chain", ("fail", "chain_signature")),
    "N-3 root smuggled in": (_smuggled_root, "nitro.cert_chain", ("fail", "chain_signature")),
    "N-5 signature": (_enclave(signature=bytes(96)), "nitro.cose_signature", ("fail", "bad_signature")),
    "N-5 95 bytes": (_enclave(signature=b"\1" * 95), "evidence.wellformed", ("fail", "malformed")),
    "N-5 algorithm": (_enclave(protected=b"\xa1\x01\x26"), "evidence.wellformed", ("fail", "malformed")),
    "N-6 old nonce": (_replayed, "freshness.nonce_bound", ("fail", "nonce_mismatch")),
    "N-6 old document": (_at(timedelta(seconds=-301)), "nitro.timestamp", ("fail", "too_old")),
    "N-6 document ahead": (_at(timedelta(seconds=61)), "nitro.timestamp", ("fail", "in_future")),
    "N-7 another image": (_pcrs(b"\x22" * 48, 0, 2), "nitro.pcrs", ("fail", "not_pinned")),
    "N-8 debug": (_pcrs(bytes(48), 0, 1, 2), "nitro.not_debug", ("fail", "debug")),
    "N-9 short register": (_pcrs(b"\x22" * 47, 0), "evidence.wellformed", ("fail", "malformed")),
    "N-11 one's own signing key": (_attackers_signing_key, "nitro.user_data", ("fail", "other_signing_key")),
    "N-12 zero": (_user_data(lambda data: data[:36] + bytes(32)), "nitro.user_data", ("fail", "zero_hash")),
    "N-12 prefix": (_user_data(lambda data: b"\x12\x21" + data[2:]), "nitro.user_data", ("fail", "layout")),
    "N-12 length": (_user_data(lambda data: data + b"\0"), "nitro.user_data", ("fail", "layout")),
    "N-12 swapped": (_user_data(lambda data: data[34:] + data[:34]), "nitro.user_data", ("fail", "other_certificate")),
    "N-13 key sync": (_enclave(user_data=b"\x05" * 20), "nitro.user_data", ("fail", "layout")),
    "N-13 other public_key": (_enclave(public_key=b"\x05" * 32), "nitro.user_data", ("fail", "other_kind")),
    "N-14 no public_key": (_enclave(public_key=None), "nitro.user_data", ("fail", "other_kind")),
    "N-15 JSON": (_enclave(payload=b"{}"), "evidence.wellformed", ("fail", "malformed")),
    "N-16 unsigned": (_unsigned, "enclave.ohttp_key", ("unevaluated", "unsigned")),
    "N-16 no key": (_key(hpke=None), "enclave.ohttp_key", ("unevaluated", "no_key")),
    "N-16 other signer": (_signed_by_another, "enclave.ohttp_key", ("fail", "bad_signature")),
    "N-16 other key": (_other_key_same_signature, "enclave.ohttp_key", ("fail", "bad_signature")),
    "N-16 other signature": (_heartbeat_as_config, "enclave.ohttp_key", ("fail", "bad_signature")),
    "N-16 other salt": (_short_salt, "enclave.ohttp_key", ("fail", "bad_signature")),
    "N-16 wrong hash": (_hpke(signature_hash=f"0x{'00' * 32}"), "enclave.ohttp_key", ("fail", "bad_signature")),
    "N-16 other id": (_hpke(tee_id=f"0x{'00' * 32}"), "enclave.signing_key", ("fail", "other_id")),
    "N-16 other number": (_hpke(key_id=2), "evidence.wellformed", ("fail", "malformed")),
    "N-16 signature without id": (_hpke(tee_id=...), "evidence.wellformed", ("fail", "malformed")),
    "N-14 other id": (_key(tee_id=f"0x{'00' * 32}"), "enclave.signing_key", ("fail", "other_id")),
    "no id": (_key(tee_id=...), "evidence.complete", ("fail", "missing")),
    "no signing key": (_key(public_key=...), "evidence.wellformed", ("fail", "malformed")),
}


@pytest.mark.parametrize("contract", [True, False], ids=["with a contract", "alone"])
@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, contract: bool) -> None:
    spoil, check, found = ATTACKS[name]
    honest = OpenGradientSession.build()
    session = OpenGradientSession.build()
    spoil(session)
    world = World(
        session, policy=opengradient_policy(honest, contract=contract), contract=contract, enclave=session.url
    )
    verdict = world.attest()
    if name == "N-12 swapped" and not contract:
        found = ("fail", "other_signing_key")  # no certificate is relied on
    assert outcome_of(verdict) == ("REJECTED" if found[0] == "fail" else "INCONCLUSIVE")
    assert findings(verdict)[check] == found
    assert not [key for subject in verdict.subjects for key in subject.attested_keys]


def test_n4_a_leaf_issues_no_certificate() -> None:
    session = OpenGradientSession.build()
    honest = session.enclave.leaf
    pki = NitroPki(session.keys)
    forged = pki.leaf(honest, session.at, key=session.keys.p384("attacker"), serial=77)
    session.enclave = evolve(session.enclave, chain=[*session.enclave.chain, honest], leaf=forged)
    verdict = World(session).attest()
    assert findings(verdict)["nitro.cert_chain"][0] == "fail"


def test_the_certificate_of_the_contract_must_be_that_of_the_document() -> None:
    session = OpenGradientSession.build()
    session.record.tls_certificate = OpenGradientSession.build(seed="another").tls.der
    found = findings(World(session).attest())
    assert found["nitro.user_data"] == ("fail", "other_certificate")


def test_an_enclave_that_is_silent() -> None:
    for place in ("/enclave/attestation", "/signing-key"):
        world = World()
        world.transport.dead.add(world.session.url + place)
        assert outcome_of(world.attest()) == "INCONCLUSIVE"
        world = World()
        world.transport.replace(world.session.url + place, b"<html>hotel</html>", content_type="text/html")
        assert outcome_of(world.attest()) == "INCONCLUSIVE"
        world = World()
        world.transport.replace(world.session.url + place, b"busy", status=503)
        assert outcome_of(world.attest()) == "INCONCLUSIVE"


@pytest.mark.parametrize("size", [(64 << 10) + 1, 1 << 20])
def test_n15_endless_answers(size: int) -> None:
    for place in ("/enclave/attestation", "/signing-key"):
        world = World()
        body = world.session.document()
        world.transport.replace(world.session.url + place, body.ljust(size, b"A"))
        assert outcome_of(world.attest()) != "VERIFIED"


def test_two_documents_in_one_report() -> None:
    session = OpenGradientSession.build()
    for part in ("/enclave/attestation", "/signing-key"):
        document = session.saved()
        twin = next(one for one in document["exchanges"] if part in one["request"]["url"])
        document["exchanges"].append(json.loads(json.dumps(twin)))
        same = verifier_of(session).verify_saved(report_of(document))
        assert outcome_of(same) == "VERIFIED"
        twin["response"]["headers"]["Server"] = ["another"]
        verdict = verifier_of(session).verify_saved(report_of(document))
        assert outcome_of(verdict) == "REJECTED"
        assert findings(verdict)["evidence.wellformed"] == ("fail", "malformed")


def test_an_image_of_another_start_has_other_keys() -> None:
    """Answers of an enclave before and after its restart do not mix."""
    before, after = OpenGradientSession.build(boot="other"), OpenGradientSession.build()
    after.key_changes = {"hpke": before.hpke()}
    found = findings(World(after, contract=False, enclave=after.url).attest())
    assert found["enclave.signing_key"] == ("fail", "other_id")
