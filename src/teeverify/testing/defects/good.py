"""Reports that are unusual and true: rejecting one of these is a bug as well."""

from __future__ import annotations

import hashlib
import json

from teeverify.testing.event_log import runtime_event
from teeverify.testing.near import NearSession
from teeverify.testing.near_report import quote_data
from teeverify.testing.recording import Document, drop_exchanges
from teeverify.testing.tdx import high_s_twin

from .model import VERIFIED, defect
from .platform import outdated

_NO_TLS = {"waive": [("binding.tls_spki", "model"), ("channel.tls_spki", "model")]}


@defect(outcome=VERIFIED)
def good_one_gpu(session: NearSession) -> None:
    """The report that all direct defects with one GPU start from."""


@defect(outcome=VERIFIED, base="cloud")
def good_one_gpu_cloud(session: NearSession) -> None:
    """The report that all cloud defects start from."""


@defect(outcome=VERIFIED, algorithm="ecdsa", shipped=False)
def good_ecdsa(session: NearSession) -> None:
    """An Ethereum address, bound with the TLS key; the OHTTP key is signed by the signer's other key."""


@defect(outcome=VERIFIED, algorithm="ecdsa", tls_bound=False, policy=_NO_TLS)
def good_ecdsa_padded(session: NearSession) -> None:
    """The padded form was asked for, and the policy waives what it cannot prove."""


@defect(outcome=VERIFIED, tls_bound=False, policy=_NO_TLS, shipped=False)
def good_padded(session: NearSession) -> None:
    """As above with an Ed25519 key, which fills the 32 bytes."""


@defect(outcome=VERIFIED)
def good_event_after_ready(session: NearSession) -> None:
    """A container wrote a second compose-hash event after system-ready, which identifies nothing."""
    boot = session.model.boot
    late = runtime_event("compose-hash", hashlib.sha256(b"whatever").digest())
    session.model.boot = boot.with_runtime(*boot.runtime_events(), late)


@defect(outcome=VERIFIED)
def good_april_shape(session: NearSession) -> None:
    """The shape of April 2026: no OHTTP attestation, no inner GPU nonces, actions hashed in struct order."""
    session.april_shape = True


@defect(outcome=VERIFIED)
def good_high_s(session: NearSession) -> Document:
    """The other valid encoding of the quote's signature."""
    report = session.report()
    quote = session.model.quote(quote_data(session, session.model))
    report["intel_quote"] = high_s_twin(quote).hex()
    return session.saved(report)


@defect(outcome=VERIFIED, shipped=False)
def good_tcb_info_text(session: NearSession) -> Document:
    """``tcb_info`` and the event log are JSON text, as other dstack versions write them."""
    report = session.report()
    report["info"]["tcb_info"] = json.dumps(report["info"]["tcb_info"])
    report["event_log"] = json.dumps(report["event_log"])
    return session.saved(report)


@defect(outcome=VERIFIED, shipped=False)
def good_unknown_members(session: NearSession) -> Document:
    """Members that nobody knows yet, and the server's opinion of itself, change nothing."""
    return session.saved({**session.report(), "verified": False, "new_in_2027": {"a": [1, 2, 3]}})


@defect(outcome=VERIFIED, gpus=8, shipped=False)
def good_eight_gpus(session: NearSession) -> None:
    """A host with eight GPUs."""


@defect(outcome=VERIFIED, policy={"nras": "when_present"}, shipped=False)
def good_nras_not_asked(session: NearSession) -> Document:
    """NVIDIA was not asked, and the policy does not require it."""
    return drop_exchanges(session.saved(), "nras.attestation.nvidia.com")


@defect(outcome=VERIFIED, policy={"nras": "ignore"}, shipped=False)
def good_nras_ignored(session: NearSession) -> None:
    """NVIDIA says no, and the policy ignores what it says."""
    session.nras.overall_changes["x-nvidia-overall-att-result"] = False


@defect(
    outcome=VERIFIED,
    policy={"accept": ("UpToDate", "OutOfDate"), "allow_advisories": ("INTEL-SA-01036", "INTEL-SA-01079")},
    shipped=False,
)
def good_out_of_date_tolerated(session: NearSession) -> None:
    """The platform is OutOfDate, and the policy accepts that with exactly these advisories."""
    outdated(session)
