"""enclave.* and registry.*: whose keys are these, what does the contract say, and how much of that was checked?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import attrs

from ..claims.enclave import EnclaveClaims, RegistryClaims
from ..claims.problem import Problem, ProblemKind, need
from ..claims.subject import Subject
from ..formats.pcr_hash import pcr_hash_of_table
from ..policy import Policy, ReferenceValues
from .catalogue import Finding, check, failed, info, not_applicable, passed, unevaluated

__all__: list[str] = []

_CONTRACT = "OpenGradient TEERegistry (og-evm)"
_HASHED = frozenset({"pcr0", "pcr1", "pcr2"})
_GATEWAY = "OpenGradient tee-gateway, GET /signing-key and /v1/ohttp/config"


@check(
    "registry.entry",
    title="The pinned contract lists the enclave as active",
    explanation=(
        "A contract on a chain lists enclaves that its administrator let in. What nodes say of it counts only for "
        "the contract and chain that the policy pins, when enough nodes agree, of a recent block. The entry must be"
        " enabled, alive, of the right kind, not an image in debug mode, and (where the policy pins images) a "
        "pinned one. It is the word of the nodes and of the administrator; the enclave's own document is worth "
        "more."
    ),
    source=_CONTRACT,
    anchor="the caller's nodes, policy pin",
    reasons={
        "not_listed": "The contract does not list the enclave.",
        "other_contract": "The answers are of another contract or chain than the pinned one.",
        "contradiction": "A node contradicts itself about one block.",
        "no_quorum": "Fewer nodes agree than the policy demands.",
        "stale_block": "The block that was read is too old, or lies in the future.",
        "disabled": "The enclave is disabled, or registered for another purpose.",
        "stale_heartbeat": "The enclave gave no sign of life for too long, or gave one in the future.",
        "debug_image": "The registered image is one in debug mode.",
        "image_not_pinned": "The registered image is none that the policy pins.",
        "other_keys": "The contract holds another signing key or TLS certificate than the enclave shows.",
        "recorded_word": "The answers of nodes are recorded ones, which prove nothing by themselves.",
        "root_replaced": "The contract judges registrations by another root than AWS's.",
    },
)
def registry_entry(subject: Subject, policy: Policy) -> Finding:
    if policy.registry.address is None:
        return not_applicable("no_contract_pinned", "the policy pins no contract, so none is believed")
    if subject.registry is None:
        return unevaluated("not_listed", "no node was asked about the contract that the policy pins")
    if isinstance(subject.registry, Problem) and subject.registry.kind is ProblemKind.INVALID:
        return failed("contradiction", subject.registry.detail)
    entry: RegistryClaims = need(subject.registry)
    if (entry.contract.hex(), entry.chain_id) != (policy.registry.address, policy.registry.chain_id):
        return failed("other_contract", "the answers are of another contract or chain than the pinned one")
    if entry.agreeing < policy.registry.quorum:
        return unevaluated(
            "no_quorum",
            f"{entry.agreeing} of {entry.asked} nodes agree, the policy demands {policy.registry.quorum}",
            expected=str(policy.registry.quorum),
            observed=str(entry.agreeing),
        )
    wrong = next(_entry_faults(entry, subject, policy), None)
    if wrong is not None:
        return wrong
    words = f"the contract lists the enclave as active ({entry.agreeing} of {entry.asked} nodes)"
    if subject.recorded_at is None:
        return passed(words)
    if _is_pinned(subject, policy):
        return passed(f"{words}, by recorded answers; the policy pins the enclave's id")
    if policy.registry.assurance == "attested":
        return info("recorded_word", f"{words}; a recorded answer of a node proves nothing by itself")
    return unevaluated(
        "recorded_word", f"{words}, by recorded answers, which anybody can write: pin the enclave's id as a signing key"
    )


def _is_pinned(subject: Subject, policy: Policy) -> bool:
    pins, keys = policy.pins.get(subject.role), subject.enclave
    return keys is not None and pins is not None and need(keys.tee_id) in (pins.signing_keys or ())


def _entry_faults(entry: RegistryClaims, subject: Subject, policy: Policy) -> Iterator[Finding]:
    session = subject.evaluated_at if subject.recorded_at is None else subject.recorded_at
    rules = policy.registry
    if not -60 <= (session - entry.block_time) / timedelta(seconds=1) <= rules.max_block_age:
        yield failed("stale_block", "the block that was read is not a recent one", observed=f"{entry.block_time}")
    if not (entry.enabled and entry.llm_proxy):
        yield failed("disabled", "the contract has the enclave disabled, or registered for another purpose")
    if not 0 <= (entry.block_time - entry.last_heartbeat) / timedelta(seconds=1) <= rules.max_heartbeat_age:
        yield failed("stale_heartbeat", "the enclave's last sign of life is not recent")
    if entry.debug_image:
        yield failed("debug_image", "the registered image runs in debug mode; do not use this endpoint")
    pins = policy.pins.get(subject.role)
    if pins is not None and pins.pcrs is not None:
        # The contract's hash is of three registers; a table with more is enforced by the document alone.
        tables = [table for table in pins.pcrs if subject.nitro is not None or table.keys() <= _HASHED]
        if entry.pcr_hash not in {pcr_hash_of_table(table) for table in tables}:
            yield failed(
                "image_not_pinned", "the registered image is none that the policy pins", observed=entry.pcr_hash.hex()
            )
    keys = subject.enclave
    if keys is not None and entry.signing_key != need(keys.signing_key):
        yield failed("other_keys", "the contract holds another signing key than the enclave shows")
    if subject.nitro is not None and subject.nitro.tls_certificate_sha256 not in (None, entry.tls_certificate_sha256):
        yield failed("other_keys", "the contract holds another TLS certificate than the document was held to")
    if entry.root_replaced:
        yield failed("root_replaced", "the contract judges registrations by another root than AWS's")


@check(
    "enclave.signing_key",
    title="The key that signs answers is the enclave's",
    explanation=(
        "An id is nothing but the hash of the signing key, so it is computed here and never taken from anybody. "
        "Every id that is stated along the way must be that one. That the key lives in the enclave is "
        "nitro.user_data; without the enclave's document it is the contract's word."
    ),
    requires=("nitro.user_data",),
    source=f"{_GATEWAY}; Keccak-256 of the DER key (TEERegistry)",
    anchor="AWS Nitro root, or the contract's word",
    reasons={"other_id": "Another id is stated than that of the key."},
)
def signing_key(subject: Subject, policy: Policy) -> Finding:
    del policy
    keys = _keys(subject)
    tee_id = need(keys.tee_id)
    need(keys.signing_key)
    for stated in keys.stated_ids:
        if need(stated) != tee_id:
            return failed(
                "other_id",
                "another id is stated than that of the signing key",
                expected=tee_id.hex(),
                observed=need(stated).hex(),
            )
    return passed("the id is that of the signing key", observed=tee_id.hex())


@check(
    "enclave.ohttp_key",
    title="The key that requests are encrypted to is the enclave's",
    explanation=(
        "The key for Oblivious HTTP is in no attestation document. Whoever swaps it alone reads every request, "
        "passes it on, and returns a genuinely signed answer. It counts only with a signature of the enclave's "
        "signing key over the whole configuration; and where a contract is asked, the contract must hold the same "
        "one. Without the enclave's document it is the contract's word."
    ),
    requires=("enclave.signing_key", "registry.entry"),
    source=f"RFC 9458; {_GATEWAY}",
    anchor="AWS Nitro root, or the contract's word",
    reasons={
        "bad_signature": "The signature over the key configuration does not verify.",
        "unsigned": "The key configuration is not signed.",
        "other_config": "The contract holds another key configuration.",
        "no_key": "There is no key to encrypt to.",
        "recorded_word": "A recorded answer of a node names the key, which anybody can write.",
    },
)
def ohttp_key(subject: Subject, policy: Policy) -> Finding:
    ohttp = _keys(subject).ohttp
    if ohttp is None:
        return unevaluated("no_key", "the enclave shows no key that requests could be encrypted to")
    key = need(ohttp)
    if key.signature_valid is False:
        return failed("bad_signature", "the signature over the key configuration is not the enclave's")
    if key.registered is not None and key.registered != key.key_config:
        return failed("other_config", "the contract holds another key configuration than the enclave shows")
    if key.signature_valid is None:
        if policy.registry.assurance == "attested" or key.registered is None:
            return unevaluated(
                "unsigned", "the key configuration is not signed by the enclave, so anybody could own it"
            )
        if subject.recorded_at is not None:  # a pinned id vouches for the signing key, and for nothing beside it
            return info(
                "recorded_word", "a recorded answer of a node names the key, so nothing is to be encrypted to it"
            )
        return passed("the contract names the key that requests are encrypted to; the enclave's signature was not seen")
    return passed("the enclave's signing key signed the key that requests are encrypted to")


@check(
    "enclave.assurance",
    title="As much was checked as the policy demands",
    explanation=(
        "There are three levels. \"attested\": the enclave itself answered our challenge with a document of AWS's, "
        'runs a pinned image, and its document names the keys. "registry+pcr": the contract says so of a pinned '
        'image. "registry": the contract says so. The policy demands one of them, by default the first, and nothing'
        " passes for more than was checked."
    ),
    requires=(
        "nitro.timestamp", "nitro.not_debug", "nitro.pcrs",
        "nitro.user_data", "freshness.nonce_bound", "enclave.signing_key", "registry.entry",
    ),
    source="RFC 9334 section 4.1 (appraisal policy)",
    anchor="policy",
    reasons={
        "no_document": "There is no document of the enclave's own.",
        "no_entry": "There is no entry of the contract.",
        "image_not_pinned": "The policy demands a pinned image, and pins none.",
        "unenforced_pin": "The policy pins something that a contract does not show, so nothing would enforce it.",
    },
)  # fmt: skip
def assurance(subject: Subject, policy: Policy) -> Finding:
    level, pins = policy.registry.assurance, policy.pins.get(subject.role)
    if level == "attested":
        if subject.nitro is None:
            return failed("no_document", "the policy demands the enclave's own document, and there is none")
    elif subject.registry is None or isinstance(subject.registry, Problem):
        return unevaluated("no_entry", "the policy demands the contract's word, and there is none")
    if level != "registry" and (pins is None or not pins.is_enclave_pinned):
        return failed("image_not_pinned", f"the level {level!r} needs PCR0, PCR1 and PCR2 pinned for {subject.role}")
    idle = [] if pins is None or level != "registry" else _idle(pins)  # at the other levels policy.pinned sees to it
    if idle:
        return failed("unenforced_pin", f"the policy pins {idle[0]} for {subject.role}, which nothing here shows")
    return passed(f"the level is {level!r}, as the policy demands", expected=level, observed=level)


def _idle(pins: ReferenceValues) -> list[str]:
    """Names of lists that are pinned and that no contract says anything about."""
    names = (pin.name for pin in attrs.fields(ReferenceValues) if pin.name not in ("pcrs", "signing_keys"))
    return [name for name in names if getattr(pins, name) is not None]


def _keys(subject: Subject) -> EnclaveClaims:
    """The subject's keys; a provider only lists these checks for roles that have them."""
    if subject.enclave is None:
        raise TypeError(f"subject {subject.id} has no enclave keys")
    return subject.enclave
