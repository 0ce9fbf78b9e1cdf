"""Did this very request and response pass through the attested machine, unchanged?"""

from __future__ import annotations

from ..claims.exchange import AttestedSigner, ExchangeSubject
from ..claims.problem import Problem, ProblemKind, need
from ..limits import CLOCK_SKEW, MAX_ANSWER_AGE
from ..policy import Policy
from .catalogue import Finding, check, failed, not_applicable, passed, unevaluated

__all__: list[str] = []

_SOURCE = "NEAR AI inference-proxy and Phala vllm-proxy, GET /v1/signature/{chat_id}"
_ANCHOR = "attested signing key"


@check(
    "exchange.request_digest",
    title="The signed request is the one that we sent",
    explanation=(
        "The signature covers a digest of the request that reached the machine. It must be the digest of exactly the "
        "bytes that left here; otherwise somebody on the way changed the prompt, the model or a setting."
    ),
    source=_SOURCE,
    anchor=_ANCHOR,
    reasons={"other_request": "The signed digest is that of another request."},
)
def request_digest(subject: ExchangeSubject, policy: Policy) -> Finding:
    del policy
    expected, observed = subject.request_digest.hex(), need(subject.signature).request_digest.hex()
    if observed != expected:
        return failed("other_request", "the signature is over another request", expected=expected, observed=observed)
    return passed("the signed digest is that of our request", observed=observed)


@check(
    "exchange.response_digest",
    title="The signed response is the one that we received, to its end",
    explanation=(
        "The digest in the signature must be that of exactly the bytes received, streamed bytes included with every "
        "'data:' line. A stream that was cut off before its [DONE] is refused as well."
    ),
    source=_SOURCE,
    anchor=_ANCHOR,
    reasons={
        "other_response": "The signed digest is that of another response.",
        "stream_unfinished": "The stream that was asked for does not end in [DONE].",
    },
)
def response_digest(subject: ExchangeSubject, policy: Policy) -> Finding:
    del policy
    if subject.carried:
        need(subject.signature)
    if subject.streamed and not subject.finished:
        return failed("stream_unfinished", "a stream was asked for, and what was received does not end in [DONE]")
    expected, observed = subject.response_digest.hex(), need(subject.signature).response_digest.hex()
    if not subject.streamed and subject.respelled_digest is not None and observed == subject.respelled_digest.hex():
        return passed("the signed digest is that of our response, its JSON spelled as it is signed", observed=observed)
    if observed != expected:
        return failed("other_response", "the signature is over another response", expected=expected, observed=observed)
    return passed("the signed digest is that of our response", observed=observed)


@check(
    "exchange.signature",
    title="The signature over the exchange is valid",
    explanation=(
        "The key that claims to have signed must really have signed exactly this text, in the one form that its "
        "algorithm allows (64 bytes of ed25519, or Ethereum's personal_sign with a low s)."
    ),
    source="RFC 8032; EIP-191 version 0x45; " + _SOURCE,
    anchor="signature",
    reasons={
        "invalid": "The signature does not verify under the key that it names.",
        "malformed": "The answer of the signature endpoint does not have its form.",
    },
)
def signature(subject: ExchangeSubject, policy: Policy) -> Finding:
    del policy
    if isinstance(subject.signature, Problem) and subject.signature.kind is ProblemKind.MALFORMED:
        return failed("malformed", subject.signature.detail)
    claims = need(subject.signature)
    if not claims.valid:
        return failed("invalid", f"the {claims.algorithm} signature does not verify under the key that it names")
    return passed(f"the {claims.algorithm} signature verifies", observed=claims.address.hex())


@check(
    "exchange.signer_attested",
    title="The signer is a key of the verified attestation",
    explanation=(
        "Anybody can sign. The key must be one that a VERIFIED and unexpired attestation names, for the same algorithm "
        "and the role that the signature claims: a gateway's signature proves what the gateway sent and never passes "
        'for the model\'s, unless the policy accepts it ([exchange] signed_by = "gateway").'
    ),
    requires=("exchange.signature",),
    source=_SOURCE,
    anchor=_ANCHOR,
    reasons={
        "attestation_rejected": "The attestation of the endpoint was rejected.",
        "attestation_inconclusive": "The attestation of the endpoint could not be completed.",
        "attestation_expired": "The attestation is past its end.",
        "gateway_signature": "The gateway signed, and the policy demands the model's signature.",
        "form_of_other_kind": "The signed text has the form of another kind of signature.",
        "unknown_signer": "The signer is none of the attested keys of its role and algorithm.",
    },
)
def signer_attested(subject: ExchangeSubject, policy: Policy) -> Finding:
    if subject.attestation_outcome == "REJECTED":  # whatever is known of the signature
        return failed("attestation_rejected", "the endpoint's attestation was rejected, so none of its keys counts")
    known = not (isinstance(subject.signature, Problem) and subject.signature.kind is ProblemKind.INVALID)
    if known:
        need(subject.signature)
    if subject.attestation_outcome != "VERIFIED":
        return unevaluated("attestation_inconclusive", "the endpoint's attestation is not complete")
    end = subject.attestation_expires_at
    if end is None or subject.evaluated_at >= end:
        return unevaluated("attestation_expired", "the attestation is past its end: attest the endpoint again")
    if isinstance(subject.signature, Problem):
        return failed("unknown_signer", subject.signature.detail)
    claims = subject.signature
    role = claims.signer_role
    if role == "gateway" and policy.exchange.signed_by != "gateway":
        return failed(
            "gateway_signature", "the gateway signed, the policy demands the model's own signature", expected="model"
        )
    if (claims.kind == "gateway" and claims.model is not None) or (
        claims.kind == "provider_tee" and claims.model is None
    ):
        return failed("form_of_other_kind", f"a signature of kind {claims.kind} does not have this form of text")
    signer = _signer(subject, role, claims.algorithm, claims.address)
    if signer is None:
        return failed(
            "unknown_signer",
            f"the signer is none of the attested {claims.algorithm} keys of role {role}",
            expected=", ".join(_addresses(subject, role, claims.algorithm)) or None,
            observed=claims.address.hex(),
        )
    return passed(f"the signer is the attested key of {signer.subject}", observed=claims.address.hex())


def _signer(subject: ExchangeSubject, role: str, algorithm: str, address: bytes) -> AttestedSigner | None:
    wanted = (role, algorithm, address)
    found = (one for one in subject.signers if (one.role, one.algorithm, one.address) == wanted)
    return next(found, None)


def _addresses(subject: ExchangeSubject, role: str, algorithm: str) -> list[str]:
    return [one.address.hex() for one in subject.signers if (one.role, one.algorithm) == (role, algorithm)]


@check(
    "exchange.model",
    title="The signature names the model that was asked for",
    explanation=(
        "The newer form of the signed text names the model that answered. The older form and gateways name none; then "
        "only the signing key stands for the model."
    ),
    requires=("exchange.signature",),
    source=_SOURCE,
    anchor=_ANCHOR,
    reasons={
        "other_model": "The signed text names another model.",
        "model_not_named": "The signed text names no model.",
        "gateway_signature": "A gateway's signature names no model.",
    },
)
def model(subject: ExchangeSubject, policy: Policy) -> Finding:
    claims = need(subject.signature)
    if claims.model is None and claims.kind == "gateway" and policy.exchange.signed_by == "gateway":
        return not_applicable("gateway_signature", "a gateway's signature names no model, and the policy accepts it")
    if claims.model is None:
        return unevaluated("model_not_named", "the signed text names no model", expected=subject.model)
    if claims.model != subject.model:
        return failed(
            "other_model", "the signed text names another model", expected=subject.model, observed=claims.model[:100]
        )
    return passed("the signed text names the model", observed=claims.model)


@check(
    "exchange.first_seen",
    title="This chat was not accepted before",
    explanation=(
        "An old answer to the same question has a valid signature for ever. Every chat id is therefore accepted once "
        "by one verifier, and it must be the id inside the response that was signed."
    ),
    source=_SOURCE,
    anchor="memory of this verifier",
    reasons={
        "replayed": "A chat with this id was accepted before.",
        "other_chat_id": "The response carries another id than the one given.",
        "no_chat_id": "The response carries no id, and none was given.",
        "no_memory": "A saved report cannot show what was seen before it.",
    },
)
def first_seen(subject: ExchangeSubject, policy: Policy) -> Finding:
    del policy
    if subject.carried:
        need(subject.signature)
    if subject.chat_id is None and subject.form is None:
        return failed("no_chat_id", "the response carries no chat id and none was given: pass chat_id")
    if subject.stated_chat_id not in (None, subject.chat_id):
        return failed("other_chat_id", "the response carries another chat id than the one given")
    if subject.seen_before is None:
        return not_applicable("no_memory", "a saved report cannot show what was seen before it")
    if subject.seen_before:
        what = "a chat with this id" if subject.form is None else "this signed answer"
        return failed("replayed", f"{what} was accepted before: an old answer may have been served again")
    return passed(f"the {'chat id' if subject.form is None else 'signed answer'} was not seen before")


@check(
    "exchange.window",
    title="The answer was signed at the time of the exchange",
    explanation=(
        "Where the time is signed along with an answer, it must be that of the exchange: at most an hour ago and at "
        "most five minutes ahead. An enclave's clock is set by nobody, so the window is wide; that an answer is not "
        "accepted twice is exchange.first_seen."
    ),
    requires=("exchange.signature",),
    source="OpenGradient TEEInferenceVerifier (window of the on-chain verifier)",
    anchor="attested signing key",
    reasons={
        "too_old": "The answer was signed too long ago.",
        "in_future": "The answer was signed in the future.",
        "not_signed": "No time is signed along with the answer.",
    },
)
def window(subject: ExchangeSubject, policy: Policy) -> Finding:
    del policy
    need(subject.signature)
    if subject.form is None:
        return not_applicable("not_signed", "no time is signed along with an answer")
    made = subject.form.made_at
    age, shown = (subject.evaluated_at - made).total_seconds(), f"{made:%Y-%m-%d %H:%M:%S} UTC"
    if age > MAX_ANSWER_AGE:
        return failed("too_old", f"the answer was signed more than {MAX_ANSWER_AGE} s before", observed=shown)
    if age < -CLOCK_SKEW:
        return failed("in_future", f"the answer was signed more than {CLOCK_SKEW} s ahead", observed=shown)
    return passed(f"signed {shown}", observed=shown)


@check(
    "exchange.channel",
    title="The exchange went over a connection to the attested TLS key",
    explanation=(
        "The signature shows who answered, not who read along. When the key of the connection that carried the "
        "exchange is given, it must be the attested one."
    ),
    source="RFC 8446; RFC 7469 (SPKI fingerprints)",
    anchor="TLS connection",
    reasons={
        "other_key": "The exchange went over a connection to another key than the attested one.",
        "not_bound": "The attestation does not name a TLS key.",
        "not_given": "The key of the connection was not given.",
    },
)
def channel(subject: ExchangeSubject, policy: Policy) -> Finding:
    del policy
    if subject.peer_fingerprint is None:
        return not_applicable("not_given", "the key of the connection that carried the exchange was not given")
    if subject.attestation_outcome != "VERIFIED" or subject.attested_fingerprint is None:
        return unevaluated("not_bound", "the attestation names no TLS key to compare the connection with")
    expected, observed = subject.attested_fingerprint.hex(), subject.peer_fingerprint.hex()
    if observed != expected:
        return failed(
            "other_key", "the exchange went over a connection to another key", expected=expected, observed=observed
        )
    return passed("the exchange went over a connection to the attested key", observed=observed)
