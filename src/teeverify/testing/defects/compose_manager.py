"""Faults of the compose manager's attestation: its quote, its nonce, and the log that the quote binds."""

from __future__ import annotations

import hashlib

from teeverify.testing.near import NearSession
from teeverify.testing.near_report import actions_hash
from teeverify.testing.recording import Document, compact

from .model import defect

_PADDED = {"waive": [("binding.tls_spki", "model"), ("channel.tls_spki", "model")]}


@defect("binding.report_data", "evidence.wellformed")
def actions_edited(session: NearSession) -> Document:
    """The deployment log is edited, its hash is not."""
    report = session.report()
    manager = report["compose_manager_attestation"]
    manager["actions"] = [{**row, "tag": "v6.6.6"} if "tag" in row else row for row in manager["actions"]]
    return session.saved(report)


@defect("binding.report_data", shipped=False)
def actions_and_hash_edited(session: NearSession) -> Document:
    """The deployment log and its hash are edited, the quote is the old one."""
    report = session.report()
    manager = report["compose_manager_attestation"]
    manager["actions"] = manager["actions"][:-1]
    rows = [dict(sorted(row.items())) for row in manager["actions"]]
    manager["actions_hash"] = hashlib.sha256(compact(rows)).hexdigest()
    manager["report_data"] = manager["actions_hash"] + session.nonce.hex()
    return session.saved(report)


@defect("binding.same_td")
def compose_manager_of_another_td(session: NearSession) -> None:
    """The compose manager's quote is genuine and from another machine with the same image and application."""
    other = session.model.copy()
    other.reboot(instance_id=session.keys.material("other/instance", 20))
    session.compose_manager = other


@defect("binding.same_td", "pin.base_image", shipped=False)
def compose_manager_of_attacker(session: NearSession) -> None:
    """The compose manager's quote is from the attacker's own TD with an image of his own."""
    other = session.model.copy()
    other.reboot(image=session.model.boot.image.with_other_command_line())
    session.compose_manager = other


@defect("tdx.debug_off", "binding.same_td", shipped=False)
def compose_manager_debug(session: NearSession) -> None:
    """The compose manager's quote is from a debug TD of the same image."""
    session.compose_manager = session.model.copy()
    session.compose_manager.td_changes["td_attributes"] = 1 << 28 | 1


@defect("freshness.nonce_bound")
def compose_manager_old_nonce(session: NearSession) -> None:
    """The compose manager's quote is an old one, for another nonce."""
    session.compose_manager_nonce = session.keys.material("old-nonce", 32)


@defect("freshness.nonce_bound")
def compose_manager_nonce_of_server(session: NearSession) -> Document:
    """The compose manager says that it chose the nonce itself."""
    report = session.report()
    report["compose_manager_attestation"]["nonce_source"] = "server"
    return session.saved(report)


@defect("evidence.complete", outcome=("REJECTED", "INCONCLUSIVE"))
def compose_manager_missing(session: NearSession) -> Document:
    """There is no compose manager's attestation, though the policy pins that role."""
    report = session.report()
    del report["compose_manager_attestation"]
    return session.saved(report)


@defect("binding.report_data", "binding.signing_key", "binding.tls_spki")
def compose_manager_quote_as_model_quote(session: NearSession) -> Document:
    """The compose manager's quote stands in the model's place, its actions hash posing as an address."""
    report = session.report()
    digest = actions_hash(session).hex()
    report["intel_quote"] = report["compose_manager_attestation"]["quote"]
    report["signing_address"] = report["signing_public_key"] = digest
    return session.saved(report)


@defect(
    "binding.same_td",
    "binding.report_data",
    "binding.signing_key",
    "evidence.wellformed",
    "evidence.complete",
    tls_bound=False,
    policy=_PADDED,
)
def compose_manager_quote_as_padded_model_quote(session: NearSession) -> Document:
    """As above in the padded form, where the actions hash fits the formula exactly; the OHTTP parts are left out."""
    report = session.report()
    report["intel_quote"] = report["compose_manager_attestation"]["quote"]
    report["signing_address"] = report["signing_public_key"] = actions_hash(session).hex()
    del report["ohttp_attestation"], report["ohttp_key_config"]
    return session.saved(report)
