"""Attested confidential inference (ACI): is the keyset the quote's own, in force, kept apart, and in good custody?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ..claims.aci import KeyCustody
from ..claims.problem import Problem, ProblemKind, need
from ..claims.subject import Subject
from ..formats.aci_custody import RECEIPT_PURPOSE
from ..limits import MAX_KEYSET_LIFETIME
from ..policy import Policy
from .catalogue import Finding, check, failed, not_applicable, passed, unevaluated
from .dstack import dstack_claims

__all__: list[str] = []

_ACI = "ACI specification, aci/1"


def _no_keyset() -> Finding:
    """A gateway of another kind, which one front may show as well; AciVerifier's subjects always have the section."""
    return not_applicable("no_keyset", "this machine shows no ACI keyset")


@check(
    "aci.keyset",
    title="The quote was made for exactly this keyset and our challenge",
    explanation=(
        "An ACI service shows a set of keys: for receipts, for encryption, for TLS. Its digest is recomputed from the "
        "set as it came, parts included that are not known here, then hashed with our nonce into a statement whose "
        "hash must be the first half of REPORTDATA, with zeros behind it. A key that is added, changed or left out "
        "gives another hash, and so does a statement without a nonce."
    ),
    requires=("tdx.quote_signature",),
    source=f"{_ACI}, sections 3.1, 3.2 and 9.1(2); RFC 8785",
    anchor="Intel root",
    reasons={
        "other_digest": "The digest that the report states is not that of the keyset it shows.",
        "stated_report_data": "The report states another report_data than the keyset and our nonce give.",
        "not_bound": "REPORTDATA of the quote is not the hash that the keyset and our nonce give.",
    },
)
def keyset(subject: Subject, policy: Policy) -> Finding:
    del policy
    if subject.aci is None:
        return _no_keyset()
    claims = subject.aci
    digest, expected = need(claims.keyset).digest, need(claims.statement_digest)
    stated = need(claims.stated_digest)
    if stated != digest:
        return failed("other_digest", "the keyset has another digest than the report states", expected=digest)
    observed = need(subject.binding.report_data)
    if observed != expected + bytes(32):
        return failed(
            "not_bound",
            "REPORTDATA is not the hash of the keyset's digest and our nonce",
            expected=(expected + bytes(32)).hex(),
            observed=observed.hex(),
        )
    if need(claims.stated_report_data) != expected:
        return failed("stated_report_data", "the report states another report_data than the quote holds")
    return passed("the quote was made for this keyset and our nonce", observed=digest)


@check(
    "aci.expiry",
    title="The keyset is in force, and ends in reasonable time",
    explanation=(
        "Every keyset names the time after which none of its keys counts. A past end is refused, and so is one more "
        "than 400 days ahead, since such keys would never have to be attested again."
    ),
    source=f"{_ACI}, sections 3.1, 3.4 and 9.1(3)",
    anchor="Intel root",
    reasons={"expired": "The keyset is past its end.", "too_far": "The keyset ends more than 400 days ahead."},
)
def expiry(subject: Subject, policy: Policy) -> Finding:
    del policy
    if subject.aci is None:
        return _no_keyset()
    end = datetime.fromtimestamp(need(subject.aci.keyset).not_after, timezone.utc)
    shown = f"{end:%Y-%m-%d %H:%M} UTC"
    if subject.evaluated_at >= end:
        return failed("expired", "the keyset is past its end", observed=shown)
    if end - subject.evaluated_at > timedelta(seconds=MAX_KEYSET_LIFETIME):
        return failed("too_far", f"the keyset ends more than {MAX_KEYSET_LIFETIME // 86400} days ahead", observed=shown)
    return passed(f"the keyset is in force until {shown}", observed=shown)


@check(
    "aci.roles",
    title="No key serves two purposes",
    explanation=(
        "A receipt is signed without a word of what it is. That is sound only while the key signs nothing else, so a "
        "receipt key must not be an encryption or TLS key as well, in whatever spelling."
    ),
    source=f"{_ACI}, section 3.1 (keys are per role)",
    anchor="arithmetic",
    reasons={"shared": "A key stands in two roles of the keyset."},
)
def roles(subject: Subject, policy: Policy) -> Finding:
    del policy
    if subject.aci is None:
        return _no_keyset()
    shared = need(subject.aci.keyset).shared
    if shared:
        return failed("shared", f"{shared[0]}, each key must have one role")
    return passed("each key of the keyset has one role")


@check(
    "aci.custody",
    title="A pinned key management service vouches for every receipt key",
    explanation=(
        "For each receipt key, a chain of two signatures must lead from the key of the measured application to a root "
        "of the policy ([pins.ROLE] custody_roots). The first signature covers a key that the same secret gives on "
        "another curve, so that it belongs to this receipt key rests on the measured code. Keys for encryption and TLS "
        "have no custody that is checked. A name in the keyset must be that of the measured application."
    ),
    requires=("dstack.event_order",),
    source=f"{_ACI}, sections 3.3 and 9.1(5); dstack KMS signature chain",
    anchor="policy pin",
    reasons={
        "other_subject": "The keyset names another application than the measured one.",
        "not_pinned": "The policy pins no custody roots, so nothing can be held against the chain.",
        "missing": "The report shows no custody of a receipt key.",
        "malformed": "The custody does not have its form.",
        "purpose": "The chain is for another purpose than signing receipts.",
        "stranger": "The custody is for a key that the keyset does not hold.",
        "signature": "A signature of the chain is none.",
        "other_root": "The chain leads to a root that the policy does not pin, or it is for another application.",
    },
)
def custody(subject: Subject, policy: Policy) -> Finding:
    if subject.aci is None:
        return _no_keyset()
    claims = subject.aci
    keyset, app_id = need(claims.keyset), need(dstack_claims(subject).identity).app_id
    if keyset.subject is not None and keyset.subject != f"app-id:0x{app_id.hex()}":
        return failed("other_subject", "the keyset names another application than the measured one")
    if isinstance(claims.custody, Problem) and claims.custody.kind is ProblemKind.INVALID:
        return failed("malformed", claims.custody.detail)
    shown = () if claims.custody is None else need(claims.custody)
    listed = {key.public_key for key in keyset.receipt_keys}
    if any(chain.public_key not in listed for chain in shown):
        return failed("stranger", "the report shows custody of a receipt key that is not in the keyset")
    pins = policy.pins_for(subject.role)
    roots = None if pins is None else pins.custody_roots
    if roots is None:
        return unevaluated("not_pinned", f"the policy pins no custody_roots for role {subject.role}")
    if not listed or listed != {chain.public_key for chain in shown}:
        return failed("missing", "the report shows no custody of a receipt key that the keyset lists")
    for chain in shown:
        finding = _chain(chain, roots)
        if finding is not None:
            return finding
    return passed(f"a pinned root vouches for {len(shown)} receipt keys of the measured application")


def _chain(chain: KeyCustody, roots: tuple[bytes, ...]) -> Finding | None:
    """What is wrong with one chain; None where it is good."""
    if chain.purpose != RECEIPT_PURPOSE:
        return failed(
            "purpose",
            "the custody chain is for another purpose",
            expected=RECEIPT_PURPOSE,
            observed=chain.purpose[:100],
        )
    if chain.root is None:
        return failed("signature", "a signature of the custody chain is none")
    if chain.root not in roots:
        return failed(
            "other_root",
            f"the custody chain leads, for the measured application, to none of the {len(roots)} pinned roots",
            expected=" or ".join(root.hex() for root in roots),
            observed=chain.root.hex(),
        )
    return None


@check(
    "aci.channel",
    title="The connection ends at a TLS key that the keyset lists for this host",
    explanation=(
        "A perfect report says nothing about who relayed it. The key of the TLS connection that brought it must be "
        "listed in the attested keyset, for every host or for exactly the host that was asked. A valid certificate for "
        "the host name cannot replace this."
    ),
    requires=("aci.keyset",),
    source=f"{_ACI}, sections 1.1, 3.1 and 9.1(6); RFC 7469 (SPKI fingerprints)",
    anchor="TLS connection",
    reasons={
        "other_key": "The connection ended at a key that the keyset does not list for this host.",
        "other_hop": "Our connection does not end at this machine, so nothing shows where it ends.",
    },
)
def channel(subject: Subject, policy: Policy) -> Finding:
    del policy
    if subject.aci is None:
        return _no_keyset()
    claims = subject.aci
    if subject.channel is None:
        return unevaluated("other_hop", "our connection does not end at this machine")
    observed = need(subject.channel.peer_fingerprint)
    if not need(claims.keyset).lists_tls_key(observed, claims.host):
        return failed(
            "other_key",
            f"the connection to {subject.channel.origin} ended at a key that the keyset does not list for this host",
            observed=observed.hex(),
        )
    recorded = "recorded " if subject.recorded_at is not None else ""
    return passed(
        f"the {recorded}connection to {subject.channel.origin} ended at a listed key", observed=observed.hex()
    )
