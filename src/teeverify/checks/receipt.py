"""A proxy's signed statement about the evidence behind it: who signed, about what, and does it add up?"""

from __future__ import annotations

from datetime import timedelta

from ..claims.problem import Problem, ProblemKind, need
from ..claims.receipt import ReceiptClaims
from ..claims.subject import Subject
from ..limits import RECEIPT_WINDOW
from ..policy import Policy
from .catalogue import Finding, check, failed, not_applicable, passed, unevaluated

__all__: list[str] = []

_SOURCE = "vllm-proxy, GET /v1/attestation/chain (proposed change 9)"
_NONE = "this machine makes no statement about others"
_BEHIND = "chutes"
"""The one provider that such a proxy is known to make statements about."""


@check(
    "receipt.signature",
    title="The statement is signed by the attested proxy",
    explanation=(
        "The proxy signs what it says about the instances behind it. The signature must verify over exactly the "
        "payload that is shown, under the key that the proxy's own quote names, for the algorithm that we asked for."
    ),
    requires=("binding.signing_key",),
    source=f"EIP-191 version 0x45; RFC 8032; {_SOURCE}",
    anchor="attested signing key",
    reasons={
        "malformed": "The statement does not have its form.",
        "invalid": "The signature does not verify under the address that it names.",
        "other_signer": "The statement is signed by another key than the one that the proxy's quote names.",
        "other_key": "The public key that is shown beside the proxy's record is not the one inside it.",
    },
)
def signature(subject: Subject, policy: Policy) -> Finding:
    del policy
    receipt = subject.receipt
    if receipt is None:
        return not_applicable("no_statement", _NONE)
    if isinstance(receipt.statement, Problem) and receipt.statement.kind is ProblemKind.MALFORMED:
        return failed("malformed", receipt.statement.detail)
    statement, key = need(receipt.statement), need(subject.binding.signing_key)
    if key is None or (statement.algorithm, statement.address) != (key.algorithm, key.address):
        return failed(
            "other_signer",
            "the statement names another signer than the proxy's quote",
            expected=None if key is None else key.address.hex(),
            observed=statement.address.hex(),
        )
    if not statement.valid:
        return failed("invalid", f"the {statement.algorithm} signature over the statement does not verify")
    if need(receipt.stated_key) != need(receipt.record_key):
        return failed("other_key", "the proxy's public key beside its record is not the one inside it")
    return passed("the statement is signed by the key that the proxy's quote names", observed=statement.address.hex())


@check(
    "receipt.binding",
    title="The statement is about our challenge, our model and this evidence",
    explanation=(
        "A true statement about another challenge, model or set of evidence proves nothing here. Nonce, model, "
        "provider and mode must be ours, the time must be that of this session, and the digest must be that of the "
        "evidence which was handed on."
    ),
    requires=("receipt.signature",),
    source=_SOURCE,
    anchor="attested signing key",
    reasons={
        "other_nonce": "The statement answers another nonce.",
        "other_model": "The statement is about another model or provider.",
        "other_time": "The statement was made at another time than this session.",
        "other_evidence": "The statement is about other evidence than the one that is shown.",
        "payload": "A part of the statement contradicts the request, or what stands beside the statement.",
    },
)
def binding(subject: Subject, policy: Policy) -> Finding:
    del policy
    receipt = subject.receipt
    if receipt is None:
        return not_applicable("no_statement", _NONE)
    statement = need(receipt.statement)
    if statement.nonce != subject.binding.nonce:
        expected = subject.binding.nonce.hex()
        return failed("other_nonce", "the statement answers another nonce than ours", expected=expected)
    if (statement.model, statement.provider) != (receipt.model, _BEHIND):
        return failed(
            "other_model",
            "the statement is about another model or provider",
            expected=f"{receipt.model} of {_BEHIND}"[:200],
            observed=f"{statement.model} of {statement.provider}"[:200],
        )
    if receipt.faults:
        return failed("payload", receipt.faults[0])
    session = subject.evaluated_at if subject.recorded_at is None else subject.recorded_at
    if abs(statement.made_at - session) > timedelta(seconds=RECEIPT_WINDOW):
        return failed(
            "other_time",
            f"the statement was not made within {RECEIPT_WINDOW} seconds of this session",
            expected=f"{session}",
            observed=f"{statement.made_at}",
        )
    if receipt.seen_digest is not None and need(receipt.seen_digest) != statement.evidence_digest:
        return failed(
            "other_evidence",
            "the statement is about other evidence than the one that is shown",
            expected=need(receipt.seen_digest).hex(),
            observed=statement.evidence_digest.hex(),
        )
    return passed("the statement is about our nonce, our model and this evidence")


@check(
    "receipt.consistency",
    title="The receipt shows a good result for every instance",
    explanation=(
        "A receipt that only says 'pass' does not say of what. The newer form lists every instance with the state of "
        "its TCB, its debug bit, its binding and its GPUs; the counts must agree with the list and every result must "
        "be good. It stays the proxy's word: nothing in it can be verified from outside."
    ),
    requires=("receipt.signature",),
    source=_SOURCE,
    anchor="attested signing key",
    reasons={
        "no_detail": "The receipt shows no results of single instances.",
        "bad_result": "The receipt shows an instance that is not good, or counts that do not add up.",
        "gpu_not_verified": "The receipt shows an instance whose GPUs were not verified, and the policy demands GPUs.",
    },
)
def consistency(subject: Subject, policy: Policy) -> Finding:
    receipt = subject.receipt
    if receipt is None or not receipt.delegated:
        return not_applicable("no_receipt", "the evidence itself is judged, no receipt stands for it")
    if receipt.instances is None:
        return failed("no_detail", "the receipt shows no results of single instances, so it says 'pass' of nothing")
    if isinstance(receipt.instances, Problem) and receipt.instances.kind is ProblemKind.INVALID:
        return failed("bad_result", receipt.instances.detail)
    results = need(receipt.instances)
    for result in results:
        if result.faults:
            return failed("bad_result", f"instance {result.id}: {result.faults[0]}")
        if policy.gpu.require and not result.gpu_verified:
            return failed("gpu_not_verified", f"the receipt does not say that the GPUs of {result.id} were verified")
    return passed(f"the receipt shows a good result for each of {len(results)} instances")


@check(
    "receipt.delegation",
    title="The policy takes the proxy's word on the instances",
    explanation=(
        "With a receipt, the proxy's code has verified the instances and we have seen none of them. That is weaker "
        'than their own evidence, so the policy has to say so: [instances] mode = "delegated". A verdict then means '
        "delegated verification by an attested proxy, never verified instances, and it attests no key of theirs."
    ),
    source="RFC 9334 section 5.3 (passport and background-check models); " + _SOURCE,
    anchor="policy",
    reasons={"not_accepted": "The policy demands the instances' own evidence, and the session shows a receipt."},
)
def delegation(subject: Subject, policy: Policy) -> Finding:
    receipt: ReceiptClaims | None = subject.receipt
    if receipt is None or not receipt.delegated:
        return not_applicable("no_receipt", "the evidence itself is judged, no receipt stands for it")
    if policy.instances != "delegated":
        return unevaluated(
            "not_accepted",
            "a receipt stands in for the instances' own evidence, which the policy demands: ask for passthrough, or "
            'say [instances] mode = "delegated"',
        )
    return passed("the policy takes the attested proxy's word on the instances")
