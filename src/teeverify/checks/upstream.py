"""What did the gateway do with the request: hand it on unchanged, to an upstream that it had verified?"""

from __future__ import annotations

from ..claims.exchange import ExchangeSubject
from ..claims.problem import Problem, ProblemKind, need
from ..claims.upstream import UpstreamClaims
from ..policy import Policy
from .catalogue import Finding, check, failed, not_applicable, passed, unevaluated

__all__: list[str] = []

_SOURCE = "ACI specification, aci/1, sections 5.3, 7.4, 7.5, 8 and 9.3"
_ANCHOR = "attested signing key"


@check(
    "exchange.upstream",
    title="An upstream that the gateway had to verify served the request",
    explanation=(
        "Behind an aggregating gateway another machine answers. The signed receipt must say that verification was "
        "required and succeeded, last of all attempts, and cite the session that records it. The session is fetched, "
        "and must have the cited hash, evidence with its digest, and a window around the time of the request; where "
        "the request pinned sessions, it must be one of them. That the gateway really verified is the word of its "
        "measured code: what the session claims is listed as a gap, and nobody re-verifies its evidence here."
    ),
    requires=("exchange.signature",),
    source=_SOURCE,
    anchor=_ANCHOR,
    reasons={
        "no_upstream": "The receipt names no upstream, and the service is not known to have none.",
        "not_required": "The gateway was not obliged to verify the upstream, so an unverified one may have served.",
        "not_verified": "The last attempt to verify an upstream failed.",
        "several": "The receipt names several verified upstreams.",
        "session_not_accepted": "The session is none of those that the request pinned.",
        "session_malformed": "The session does not have its form, or its evidence not the digest beside it.",
        "other_session": "The session that was served has another hash than the receipt cites.",
        "outside_window": "The request was served outside of the session's window.",
        "direct": "The attested service has no upstream.",
        "not_asked": "The cited session was not asked for.",
        "serving_unproven": "The report says that there is no upstream, and nothing shows who says so.",
    },
)
def upstream(subject: ExchangeSubject, policy: Policy) -> Finding:
    del policy
    if subject.upstream is None:
        return not_applicable("direct", "this kind of receipt knows no upstream")
    claims = need(subject.upstream)
    need(claims.accepted_sessions)
    if not claims.events:
        return _no_events(claims)
    return _attempts(claims) or _session(claims)


def _no_events(claims: UpstreamClaims) -> Finding:
    if claims.accepted_sessions is not None:
        return failed("no_upstream", "the request pinned sessions, and the receipt names no upstream")
    if claims.direct is None:
        return unevaluated("serving_unproven", "the report says direct, over a connection that is not proven")
    if claims.direct:
        return not_applicable("direct", "the attested service says that it has no upstream, and its receipt names none")
    return failed("no_upstream", "the receipt of an aggregator names no upstream that it verified")


def _attempts(claims: UpstreamClaims) -> Finding | None:
    if not all(event.required for event in claims.events):
        return failed("not_required", "the receipt says that verifying the upstream was not required")
    if not claims.events[-1].verified:
        return failed("not_verified", "the last upstream of the receipt was not verified")
    if sum(event.verified for event in claims.events) != 1:
        return failed("several", "the receipt names several verified upstreams, exactly one was expected")
    cited = claims.events[-1].session_id
    accepted = need(claims.accepted_sessions)
    if accepted is not None and cited not in accepted:
        return failed("session_not_accepted", "the session is none of those that the request pinned", observed=cited)
    return None


def _session(claims: UpstreamClaims) -> Finding:
    cited, session = claims.events[-1].session_id, claims.session
    if isinstance(session, Problem) and session.kind is not ProblemKind.UNAVAILABLE:
        return failed("session_malformed", session.detail)
    if session is None:
        return unevaluated("not_asked", "the session that the receipt cites was not asked for")
    session = need(session)
    if session.id != cited:
        return failed("other_session", "the session is not the one that the receipt cites", expected=cited)
    if not session.established_at <= claims.served_at <= session.expires_at:
        return failed(
            "outside_window",
            "the request was served outside of the session's window",
            expected=f"{session.established_at} to {session.expires_at}",
            observed=str(claims.served_at),
        )
    return passed("the receipt cites a session of a verified upstream, and it has the cited hash", observed=session.id)


@check(
    "exchange.rewrite",
    title="The gateway forwarded the request as it came",
    explanation=(
        "A gateway may change a request before it hands it on, for example the model's name, or the constraints that "
        "are meant for the gateway itself. The receipt then shows two digests that differ, and nobody outside sees the "
        "change. That is refused unless the policy waives this check, which then trusts the gateway's code with it."
    ),
    requires=("exchange.signature",),
    source=_SOURCE,
    anchor=_ANCHOR,
    reasons={
        "rewritten": "The gateway forwarded other bytes than it received.",
        "not_forwarded": "The receipt shows nothing that was forwarded.",
    },
)
def rewrite(subject: ExchangeSubject, policy: Policy) -> Finding:
    del policy
    if subject.upstream is None:
        return not_applicable("not_forwarded", "this kind of receipt shows nothing that was forwarded")
    claims = need(subject.upstream)
    if claims.forwarded_digest is None:
        return not_applicable("not_forwarded", "the receipt shows nothing that was forwarded")
    if claims.forwarded_digest != claims.received_digest:
        return failed(
            "rewritten",
            "the gateway forwarded other bytes than it received",
            expected=claims.received_digest.hex(),
            observed=claims.forwarded_digest.hex(),
        )
    return passed("the gateway forwarded the request as it came", observed=claims.received_digest.hex())
