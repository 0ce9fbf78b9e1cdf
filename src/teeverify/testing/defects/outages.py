"""What could not be had: no evidence of an attack, and no proof either."""

from __future__ import annotations

from datetime import timedelta

from teeverify.testing.near import NearSession
from teeverify.testing.recording import Answer, Document, drop_exchanges, find_exchange, replace_answer, timestamp

from .model import INCONCLUSIVE, REJECTED, defect

REPORT = "attestation/report"
UNAVAILABLE = Answer(503, {"Content-Type": "text/plain"}, b"upstream unavailable\n")


@defect("tcb.collateral_current", outcome=INCONCLUSIVE)
def collateral_missing(session: NearSession) -> Document:
    """None of Intel's answers is in the file."""
    return drop_exchanges(drop_exchanges(session.saved(), "api.trustedservices"), "IntelSGXRootCA")


@defect("tcb.collateral_current", outcome=INCONCLUSIVE, shipped=False)
def collateral_unavailable(session: NearSession) -> Document:
    """Intel's service was down."""
    return replace_answer(session.saved(), "tdx/certification/v4/tcb", UNAVAILABLE)


@defect("tcb.collateral_current", "tcb.not_revoked", outcome=INCONCLUSIVE, shipped=False)
def pck_crl_missing(session: NearSession) -> Document:
    """The PCK revocation list is not in the file."""
    return drop_exchanges(session.saved(), "pckcrl")


@defect("tcb.collateral_current", outcome=INCONCLUSIVE, base="cloud", shipped=False)
def collateral_of_gateway_missing(session: NearSession) -> Document:
    """TCB info of the gateway's platform family is not in the file."""
    return drop_exchanges(session.saved(), "fmspc=b0c06f000000")


@defect("channel.tls_spki", outcome=INCONCLUSIVE)
def peer_spki_missing(session: NearSession) -> Document:
    """The recorder did not note the connection's key."""
    document = session.saved()
    find_exchange(document, REPORT)["response"]["peer_spki"] = None
    return document


@defect("channel.tls_spki", outcome=INCONCLUSIVE, base="cloud", shipped=False)
def gateway_peer_spki_missing(session: NearSession) -> Document:
    """The recorder did not note the key of the connection to the gateway."""
    document = session.saved()
    find_exchange(document, REPORT)["response"]["peer_spki"] = None
    return document


@defect("gpu.nras_token", "gpu.nras_result", outcome=INCONCLUSIVE)
def nras_missing(session: NearSession) -> Document:
    """NVIDIA's answer, which the policy requires, is not in the file."""
    return drop_exchanges(session.saved(), "/v3/attest/gpu")


@defect("gpu.nras_token", "gpu.nras_result", outcome=INCONCLUSIVE, shipped=False)
def nras_unavailable(session: NearSession) -> Document:
    """NVIDIA's service was down."""
    return replace_answer(session.saved(), "/v3/attest/gpu", UNAVAILABLE)


@defect("gpu.nras_token", "gpu.nras_result", outcome=INCONCLUSIVE, shipped=False)
def key_set_missing(session: NearSession) -> Document:
    """NVIDIA's key set is not in the file."""
    return drop_exchanges(session.saved(), "jwks.json")


@defect("evidence.complete", "evidence.wellformed", outcome=(INCONCLUSIVE, REJECTED))
def report_missing(session: NearSession) -> Document:
    """The file holds no answer of the provider."""
    return drop_exchanges(session.saved(), REPORT)


@defect("evidence.complete", "evidence.wellformed", outcome=(INCONCLUSIVE, REJECTED), shipped=False)
def report_unavailable(session: NearSession) -> Document:
    """The provider was down."""
    return replace_answer(session.saved(), REPORT, UNAVAILABLE)


@defect("evidence.complete", "evidence.wellformed", outcome=(INCONCLUSIVE, REJECTED))
def report_redirected(session: NearSession) -> Document:
    """The provider sends us to another host."""
    location = {"Location": "https://attacker.invalid/v1/attestation/report", "Content-Length": "0"}
    return replace_answer(session.saved(), REPORT, Answer(302, location, b""))


@defect("saved.recorded_at", "tcb.collateral_current", "gpu.nras_token", outcome=(REJECTED, INCONCLUSIVE))
def recorded_too_early(session: NearSession) -> Document:
    """The file claims to be a day older than what Intel and NVIDIA signed in it."""
    document = session.saved()
    document["recorded_at"] = timestamp(session.at - timedelta(days=1))
    return document


@defect("saved.recorded_at", "gpu.nras_token", outcome=(REJECTED, INCONCLUSIVE), shipped=False)
def recorded_too_late(session: NearSession) -> Document:
    """The file claims to be recorded a week after the evidence in it."""
    document = session.saved()
    document["recorded_at"] = timestamp(session.at + timedelta(days=7))
    return document
