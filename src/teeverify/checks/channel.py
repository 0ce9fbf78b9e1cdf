"""Does the connection end inside the machine that was attested?"""

from __future__ import annotations

from ..claims.problem import need
from ..claims.subject import Subject
from ..policy import Policy
from .catalogue import Finding, check, failed, not_applicable, passed, unevaluated

__all__: list[str] = []


@check(
    "channel.tls_spki",
    title="The connection ends at the attested TLS key",
    explanation=(
        "A perfect report says nothing about who relayed it. The key of the TLS connection that brought it must be the "
        "key that the quote names; otherwise somebody stands in between and reads everything. A certificate inside the "
        "report cannot replace this, and a valid certificate for the host name does not either."
    ),
    requires=("binding.tls_spki",),
    source="RFC 8446; RFC 7469 (SPKI fingerprints); NEAR AI attestation report, tls_cert_fingerprint",
    anchor="TLS connection",
    reasons={
        "other_key": "The connection ended at another key than the attested one.",
        "not_bound": "The report was asked for without the TLS key, so nothing ties the connection to the quote.",
    },
)
def tls_spki(subject: Subject, policy: Policy) -> Finding:
    del policy
    if subject.channel is None:
        return not_applicable("other_hop", "our connection does not end at this machine")
    if subject.binding.tls_fingerprint is None:
        return unevaluated("not_bound", "the report was asked for without the TLS key: ask for the TLS-bound form")
    expected = need(subject.binding.tls_fingerprint).hex()
    observed = need(subject.channel.peer_fingerprint).hex()
    if observed != expected:
        return failed(
            "other_key",
            f"the connection to {subject.channel.origin} ended at another TLS key than the quote names",
            expected=expected,
            observed=observed,
        )
    recorded = "recorded " if subject.recorded_at is not None else ""
    return passed(f"the {recorded}connection to {subject.channel.origin} ended at the attested key", observed=observed)
