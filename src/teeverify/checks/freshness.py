"""Was this evidence made for our challenge?"""

from __future__ import annotations

from ..claims.binding import BindingClaims
from ..claims.nitro import NitroClaims
from ..claims.problem import Problem, need
from ..claims.subject import Subject
from ..formats.nitro_document import NONCE_SIZE
from ..policy import Policy
from .catalogue import Finding, check, failed, passed

__all__: list[str] = []


@check(
    "freshness.nonce_bound",
    title="The quote answers our challenge",
    explanation=(
        "We send 32 random bytes and look for them inside the part of the quote that the hardware signs: as the second "
        "half of REPORTDATA, or hashed together with a key into the first. A quote recorded yesterday cannot hold "
        "today's bytes, so it cannot be replayed. A Nitro enclave signs the first 20 of the bytes as the nonce of its "
        "document. What the report merely says about a nonce proves nothing; where it contradicts ours, something is "
        "wrong and the check fails."
    ),
    requires=("tdx.quote_signature", "nitro.cose_signature"),
    source="RFC 9334 section 10 (freshness); NEAR AI attestation report, REPORTDATA[32:64]",
    anchor="Intel root or AWS Nitro root",
    reasons={
        "nonce_mismatch": "The quote holds other bytes than our nonce: it was made for another challenge, or replayed.",
        "no_client_nonce": "The request carried no nonce of ours, so any old quote would answer it.",
        "asked_other_nonce": "The recorded request carried another nonce than the one the report claims to answer.",
        "echo_mismatch": "The report says that it answers another nonce than ours.",
        "server_nonce": "The report says that the server chose the nonce.",
    },
)
def nonce_bound(subject: Subject, policy: Policy) -> Finding:
    del policy
    binding = subject.binding
    if isinstance(binding.asked_nonce, Problem):
        return failed("no_client_nonce", f"{binding.asked_nonce.detail}: the challenge was not ours")
    challenge = binding.nonce if subject.nitro is None else binding.nonce[:NONCE_SIZE]
    signed, words = _fresh_half(binding) if subject.nitro is None else _document_nonce(subject.nitro, challenge)
    expected, observed = signed[0].hex(), signed[1].hex()
    if binding.asked_nonce != challenge:
        return failed(
            "asked_other_nonce",
            "the request carried another nonce than the one to be judged",
            expected=expected,
            observed=binding.asked_nonce.hex(),
        )
    if observed != expected or not observed:
        return failed(
            "nonce_mismatch",
            f"{words[1]}, so the quote was made for another challenge",
            expected=expected,
            observed=observed,
        )
    for echoed in binding.echoed_nonces:
        if need(echoed) != challenge:
            return failed("echo_mismatch", "the report says it answers another nonce than ours", expected=expected)
    if binding.nonce_source is not None and need(binding.nonce_source) != "client":
        return failed("server_nonce", "the report does not say that the client chose the nonce", expected="client")
    return passed(words[0], expected=expected, observed=observed)


def _document_nonce(nitro: NitroClaims, challenge: bytes) -> tuple[tuple[bytes, bytes], tuple[str, str]]:
    """The nonce of an enclave's document, expected and observed, and what to say of it."""
    subject, what = "the nonce of the document is", f"the first {NONCE_SIZE} bytes of ours"
    return (challenge, need(nitro.document).nonce or b""), (f"{subject} {what}", f"{subject} not {what}")


def _fresh_half(binding: BindingClaims) -> tuple[tuple[bytes, bytes], tuple[str, str]]:
    """The half of REPORTDATA that answers the challenge, expected and observed, and what to say of it."""
    data = need(binding.report_data)
    if binding.fresh_first_half is None:
        subject = "the second half of REPORTDATA is"
        return (binding.nonce, data[32:]), (f"{subject} our nonce", f"{subject} not our nonce")
    subject, what = "the first half of REPORTDATA is", binding.fresh_layout
    return (need(binding.fresh_first_half), data[:32]), (f"{subject} {what}", f"{subject} not {what}")
