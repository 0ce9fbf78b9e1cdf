"""Attacks N-1 to N-15 of the protocol's analysis: each is refused, and by the check that should refuse it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from teeverify.testing.cbor import encode
from teeverify.testing.certificates import Issued, basic_constraints, issue, key_usage, name, opaque_extension
from teeverify.testing.keys import KeyRing
from teeverify.testing.nitro import NitroEnclave, NitroPki, client_user_data, sig_structure
from teeverify.verdict import Outcome, Status

from .enclaves import AT, CHALLENGE, KEY, KEYS, PKI, TLS, checks_of, enclave, genuine_chain, judge, subject_of

STRANGER: Final = NitroPki(KeyRing("somebody else"))
OTHER_KEY: Final = KEYS.p384("nitro/other")


@frozen
class Attack:
    """How the document is made, and what must fail with which reason."""

    name: str
    make: Callable[[], NitroEnclave]
    check: str
    reason: str


def _cut(length: int) -> tuple[Issued, ...]:
    return genuine_chain()[0][:length]


def _with_leaf(*chain: Issued, **leaf: Any) -> NitroEnclave:
    """An enclave whose certificate is issued by the last of a chain."""
    whole = list(chain or genuine_chain()[0])
    return enclave(chain=whole, leaf=PKI.leaf(whole[-1], AT, **leaf))


def _own_root(**names: x509.Name) -> Issued:
    """A self-signed authority of the attacker's."""
    keys = STRANGER.keys
    return issue(
        subject=names.get("subject", name(("CN", "aws.nitro-enclaves"), ("O", "Attacker"))),
        issuer=None,
        key=keys.p384("own root"),
        serial=7,
        not_before=AT - timedelta(days=1),
        not_after=AT + timedelta(days=1),
        extensions=STRANGER.ca_extensions("own root", None),
    )


def _smuggled_root() -> NitroEnclave:
    root = _own_root()
    return enclave(chain=[*_cut(2), root], leaf=STRANGER.leaf(root, AT))


def _smuggled_root_with_aws_name() -> NitroEnclave:
    own = _own_root(subject=PKI.root.certificate.subject)
    return enclave(chain=[PKI.root, own], leaf=STRANGER.leaf(own, AT))


def _other_keys_below_the_root() -> NitroEnclave:
    chain = STRANGER.chain(AT)
    first = STRANGER.authority("regional", STRANGER.root, AT, path_length=2, issuer_name=PKI.root.certificate.subject)
    chain[1:2] = [first]
    return enclave(chain=[PKI.root, *chain[1:]], leaf=STRANGER.leaf(chain[-1], AT))


def _below_a_leaf() -> NitroEnclave:
    chain, leaf = genuine_chain()
    own = STRANGER.leaf(leaf, AT, subject=name(("CN", "i-attacker")))
    return enclave(chain=[*chain, leaf], leaf=own)


def _below_the_last_authority() -> NitroEnclave:
    return _with_leaf(*_cut(4), PKI.authority("further", _cut(4)[-1], AT, path_length=0))


def _authority(**other: Any) -> NitroEnclave:
    return _with_leaf(*_cut(3), PKI.authority("instance", _cut(3)[-1], AT, **other))


def _critical(extension: tuple[x509.ExtensionType, bool]) -> tuple[x509.ExtensionType, bool]:
    return extension[0], True


_ODD: Final = _critical(opaque_extension("1.2.3.4", b"\x05\x00"))
_DICE: Final = _critical(opaque_extension("2.23.133.5.4.1", b"\x30\x00"))
_LEAF_EXTENSIONS: Final = [basic_constraints(False), (key_usage(sign=True)[0], False)]
_P256: Final = KEYS.p256("nitro/p256")


def _p256() -> NitroEnclave:
    return enclave(leaf=PKI.leaf(_cut(4)[-1], AT, key=_P256), signature=bytes(95) + b"\1")


def _changed_payload() -> NitroEnclave:
    good = enclave()
    made = encode(good._members())
    signature = good.document()[-96:]
    return enclave(payload=made, signature=signature)


def _der_signature() -> NitroEnclave:
    good = enclave()
    payload = encode(good._members())
    signed = sig_structure(good.protected, payload)
    return enclave(payload=payload, signature=good.leaf.key.sign(signed, ec.ECDSA(hashes.SHA384())))


def _signature(edit: Callable[[bytes], bytes]) -> Callable[[], NitroEnclave]:
    return lambda: enclave(signature=edit(enclave().document()[-96:]))


def _zeroed(*registers: int) -> Callable[[], NitroEnclave]:
    pcrs = {**enclave().pcrs, **{index: bytes(48) for index in registers}}
    return lambda: enclave(pcrs=pcrs)


def _other_image(register: int) -> Callable[[], NitroEnclave]:
    return lambda: enclave(pcrs={**enclave().pcrs, register: b"\x22" * 48})


def _knobs(**changes: Any) -> Callable[[], NitroEnclave]:
    return lambda: enclave(**changes)


_CHAIN: Final = "nitro.cert_chain"
_SIGNATURE: Final = "nitro.cose_signature"
_FORM: Final = ("evidence.wellformed", "malformed")
_GOOD_DATA: Final = client_user_data(TLS, KEY)

ATTACKS: Final = (
    Attack("N-1 own root", lambda: NitroEnclave(keys=STRANGER.keys, at=AT, nonce=CHALLENGE[:20]), _CHAIN, "chain_root"),
    Attack("N-1 no root", lambda: enclave(chain=[*genuine_chain()[0][1:]]), _CHAIN, "chain_root"),
    Attack("N-1 own root alone", lambda: _with_leaf(_own_root()), _CHAIN, "chain_root"),
    Attack("N-2 other keys below the root", _other_keys_below_the_root, _CHAIN, "chain_signature"),
    Attack("N-2 leaf of another key", lambda: enclave(leaf=STRANGER.leaf(_fake_instance(), AT)), _CHAIN,
           "chain_signature"),
    Attack("N-3 own root after the chain", _smuggled_root, _CHAIN, "chain_issuer"),
    Attack("N-3 own root with AWS's name", _smuggled_root_with_aws_name, _CHAIN, "chain_signature"),
    Attack("N-3 own root twice", lambda: _with_leaf(PKI.root, _own_root()), _CHAIN, "chain_issuer"),
    Attack("N-4 leaf as authority", _below_a_leaf, _CHAIN, "chain_ca"),
    Attack("N-4 too long a path", _below_the_last_authority, _CHAIN, "chain_ca"),
    Attack("N-4 may not sign certificates",
           lambda: _authority(extensions=[basic_constraints(True, 0), key_usage(sign=True)]), _CHAIN, "chain_ca"),
    Attack("N-4 does not say what it may",
           lambda: _authority(extensions=[basic_constraints(True, 0)]), _CHAIN, "chain_ca"),
    Attack("N-4 authority is none", lambda: _authority(extensions=[key_usage(certs=True)]), _CHAIN, "chain_ca"),
    Attack("N-4 leaf is an authority", lambda: _with_leaf(extensions=[basic_constraints(True, None), key_usage(
        sign=True, certs=True)]), _CHAIN, "leaf_is_ca"),
    Attack("N-4 leaf for other use",
           lambda: _with_leaf(extensions=[basic_constraints(False), key_usage(commit=True)]), _CHAIN, "leaf_usage"),
    Attack("N-4 P-256 leaf", _p256, _CHAIN, "leaf_key"),
    Attack("N-4 unknown critical extension", lambda: _with_leaf(extensions=[*_LEAF_EXTENSIONS, _ODD]),
           _CHAIN, "chain_extension"),
    Attack("N-4 critical extension of another vendor", lambda: _with_leaf(extensions=[*_LEAF_EXTENSIONS, _DICE]),
           _CHAIN, "chain_extension"),
    Attack("N-4 unknown critical extension of an authority",
           lambda: _authority(extensions=[*PKI.ca_extensions("nitro/instance", 0), _ODD]), _CHAIN, "chain_extension"),
    Attack("N-4 order reversed", lambda: enclave(chain=[*reversed(genuine_chain()[0])]), _CHAIN, "chain_root"),
    Attack("N-4 link missing", lambda: enclave(chain=[_cut(4)[0], *_cut(4)[2:]]), _CHAIN, "chain_issuer"),
    Attack("N-5 changed payload", _changed_payload, _SIGNATURE, "bad_signature"),
    Attack("N-5 other signer", _knobs(signer=OTHER_KEY), _SIGNATURE, "bad_signature"),
    Attack("N-5 other algorithm", _knobs(protected=encode({1: -7})), *_FORM),
    Attack("N-5 DER signature", _der_signature, *_FORM),
    Attack("N-5 95 bytes", _signature(lambda good: good[1:]), *_FORM),
    Attack("N-5 97 bytes", _signature(lambda good: b"\0" + good), *_FORM),
    Attack("N-5 zeros", _knobs(signature=bytes(96)), _SIGNATURE, "bad_signature"),
    Attack("N-5 halves swapped", _signature(lambda good: good[48:] + good[:48]), _SIGNATURE, "bad_signature"),
    Attack("N-6 old nonce", _knobs(nonce=bytes(20)), "freshness.nonce_bound", "nonce_mismatch"),
    Attack("N-6 no nonce", _knobs(nonce=None), "freshness.nonce_bound", "nonce_mismatch"),
    Attack("N-6 whole challenge", _knobs(nonce=bytes(range(32))), "freshness.nonce_bound", "nonce_mismatch"),
    Attack("N-6 19 bytes", _knobs(nonce=bytes(range(19))), "freshness.nonce_bound", "nonce_mismatch"),
    Attack("N-6 old timestamp", lambda: _dated(-timedelta(seconds=301)), "nitro.timestamp", "too_old"),
    Attack("N-6 timestamp ahead", lambda: _dated(timedelta(seconds=61)), "nitro.timestamp", "in_future"),
    Attack("N-6 leaf past its end", lambda: _with_leaf(not_after=AT - timedelta(seconds=1)), _CHAIN, "chain_time"),
    Attack("N-6 authority not begun", lambda: _authority(not_before=AT + timedelta(seconds=1)), _CHAIN, "chain_time"),
    *(Attack(f"N-7 other PCR{n}", _other_image(n), "nitro.pcrs", "not_pinned") for n in (0, 1, 2)),
    *(Attack(f"N-8 PCR{n} zero", _zeroed(n), "nitro.not_debug", "debug") for n in (0, 1, 2)),
    Attack("N-8 debug mode", _zeroed(0, 1, 2), "nitro.not_debug", "debug"),
    Attack("N-9 no PCR2", lambda: enclave(pcrs={0: b"\1" * 48, 1: b"\1" * 48}), *_FORM),
    Attack("N-10 other TLS certificate", _knobs(tls_certificate=b"of the intruder"), "nitro.user_data",
           "other_certificate"),
    Attack("N-11 other signing key", _knobs(signing_key=b"of the intruder"), "nitro.user_data", "other_signing_key"),
    Attack("N-12 no registered key", _knobs(user_data=_GOOD_DATA[:36] + bytes(32)), "nitro.user_data", "zero_hash"),
    Attack("N-12 no certificate", _knobs(user_data=b"\x12\x20" + bytes(32) + _GOOD_DATA[34:]), "nitro.user_data",
           "zero_hash"),
    Attack("N-12 other prefix", _knobs(user_data=b"\x13" + _GOOD_DATA[1:]), "nitro.user_data", "layout"),
    Attack("N-12 other second prefix", _knobs(user_data=_GOOD_DATA[:34] + b"\x12\x21" + _GOOD_DATA[36:]),
           "nitro.user_data", "layout"),
    Attack("N-12 too long", _knobs(user_data=_GOOD_DATA + b"\0"), "nitro.user_data", "layout"),
    Attack("N-12 too short", _knobs(user_data=_GOOD_DATA[:-1]), "nitro.user_data", "layout"),
    Attack("N-12 halves swapped", _knobs(user_data=_GOOD_DATA[34:] + _GOOD_DATA[:34]), "nitro.user_data",
           "other_certificate"),
    Attack("N-12 none", lambda: enclave(without={"user_data"}), "nitro.user_data", "layout"),
    Attack("N-13 key exchange", _knobs(public_key=bytes(32), user_data=bytes(20)), "nitro.user_data", "other_kind"),
    Attack("N-13 key exchange with a constant", _knobs(user_data=bytes(20)), "nitro.user_data", "layout"),
    Attack("N-14 key in public_key", _knobs(public_key=KEY), "nitro.user_data", "other_kind"),
    Attack("N-14 no public_key", lambda: enclave(without={"public_key"}), "nitro.user_data", "other_kind"),
)  # fmt: skip


def _fake_instance() -> Issued:
    """A certificate of the instance's name with the attacker's key."""
    return STRANGER.authority("instance", STRANGER.root, AT, subject=_cut(4)[-1].certificate.subject)


def _dated(offset: timedelta) -> NitroEnclave:
    made = AT + offset
    return enclave(members={"timestamp": int(made.timestamp() * 1000)})


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_every_attack_is_refused(attack: Attack) -> None:
    verdict = judge(subject_of(attack.make().document()))
    assert verdict.outcome is Outcome.REJECTED
    result = checks_of(verdict)[attack.check]
    assert (result.status, result.reason) == (Status.FAIL, attack.reason), result
    failed = {check.id for check in verdict.checks if check.status is Status.FAIL}
    also = {"saved.recorded_at"} if attack.check == "nitro.timestamp" else {"nitro.pcrs"}  # zeros are not pinned either
    assert failed <= {attack.check, *also}, failed


def test_the_good_enclave_is_verified() -> None:
    verdict = judge(subject_of(enclave().document()))
    assert verdict.outcome is Outcome.VERIFIED
    assert {check.status for check in verdict.checks} == {Status.PASS}


@pytest.mark.parametrize("data", [b"", b"{}", b"\x80", b'{"module_id": "i-1"}', bytes(1 << 20)])
def test_what_is_no_document(data: bytes) -> None:
    """N-15."""
    verdict = judge(subject_of(data))
    assert verdict.outcome is Outcome.REJECTED
    assert checks_of(verdict)["evidence.wellformed"].status is Status.FAIL
    assert {c.status for c in verdict.checks if c.id.startswith("nitro.")} == {Status.UNEVALUATED}


@pytest.mark.parametrize("trailing", [b"\0", b"\xff", b"\n"])
def test_trailing_bytes(trailing: bytes) -> None:
    verdict = judge(subject_of(enclave().document() + trailing))
    assert checks_of(verdict)["evidence.wellformed"].status is Status.FAIL


def test_a_certificate_that_is_none() -> None:
    good = genuine_chain()[0]
    for position in range(4):
        bundle: list[bytes] = [issued.der for issued in good]
        bundle[position] = bundle[position] + b"\0"
        verdict = judge(subject_of(enclave(cabundle=bundle).document()))
        assert verdict.outcome is Outcome.REJECTED
        assert checks_of(verdict)["evidence.wellformed"].reason == "malformed"
