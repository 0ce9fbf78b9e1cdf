"""Faults of the evidence: a dozen that every shape and question can show, and the table of defects."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from attrs import evolve

from teeverify.testing.defects import DEFECTS, Defect
from teeverify.testing.defects.edits import edit_logs, edit_payload, event_named, model_record
from teeverify.testing.defects.platform import outdated
from teeverify.testing.keys import spki
from teeverify.testing.near import NearSession
from teeverify.testing.recording import Document, find_exchange
from teeverify.testing.signing import SigningKey
from teeverify.testing.simulation.fault import CLOCK, EVIDENCE, INCONCLUSIVE, REJECTED, VERIFIED
from teeverify.testing.simulation.near.fault import ROTATES, NearFault

__all__ = ["clock_faults", "defect_faults", "evidence_faults", "node_faults"]

_NOT_LIVE: Final = {
    "nonce-chosen-by-server": "it is about what a saved report says that was asked",
    "peer-spki-missing": "a live connection always shows its key",
    "gateway-peer-spki-missing": "a live connection always shows its key",
    "recorded-too-early": "it is about the time that a saved report claims",
    "recorded-too-late": "it is about the time that a saved report claims",
}
_FAULTS: list[NearFault] = []
_Spoil = Callable[[NearSession], Document | None]


def _fault(*checks: str, outcomes: tuple[str, ...] = (REJECTED,), **more: Any) -> Callable[[_Spoil], _Spoil]:
    def declare(spoil: _Spoil) -> _Spoil:
        _FAULTS.append(
            NearFault(
                name=spoil.__name__.strip("_").replace("_", "-"),
                area=EVIDENCE,
                description=" ".join((spoil.__doc__ or "").split()),
                outcomes=outcomes,
                checks=frozenset(checks),
                spoil=spoil,
                **more,
            )
        )
        return spoil

    return declare


def evidence_faults() -> tuple[NearFault, ...]:
    """Faults that fit every shape."""
    return tuple(_FAULTS)


def defect_faults() -> tuple[NearFault, ...]:
    """The defects of `teeverify.testing.defects` as faults; `Fault.excluded` says why some cannot be shown live."""
    return tuple(_of_defect(entry) for entry in DEFECTS.values())


def node_faults() -> tuple[NearFault, ...]:
    """Truthful machines that a client must not mix up."""
    return (
        NearFault(
            name="other-machine-per-connection",
            area=EVIDENCE,
            description="Each connection to the model's host ends at the next machine, good and with its own key.",
            outcomes=(VERIFIED,),
            base="direct",
            backends=2,
            trick=ROTATES,
        ),
    )


def clock_faults() -> tuple[NearFault, ...]:
    """Evidence that is dated wrongly."""
    hour = timedelta(hours=1)
    return (
        NearFault(
            name="clock-ahead",
            area=CLOCK,
            description="Everything that is signed is dated an hour ahead.",
            outcomes=(REJECTED,),
            checks=frozenset({"tcb.collateral_current", "gpu.nras_token"}),
            shift=hour,
        ),
        NearFault(
            name="clock-behind",
            area=CLOCK,
            description="Everything that is signed is dated an hour back, so NVIDIA's tokens are too old.",
            outcomes=(REJECTED,),
            checks=frozenset({"gpu.nras_token"}),
            shift=-hour,
        ),
    )


def _of_defect(entry: Defect) -> NearFault:
    excluded = _NOT_LIVE.get(entry.name)
    if excluded is None and entry.policy:
        excluded = f"it is about a policy of its own ({', '.join(sorted(entry.policy))})"
    options = {"gpus", "copies", "algorithm"}
    if excluded is None and set(entry.options) - options:
        excluded = f"it needs a question of its own ({', '.join(sorted(set(entry.options) - options))})"
    return NearFault(
        name=entry.name,
        area=EVIDENCE,
        description=entry.description,
        outcomes=entry.outcomes,
        checks=entry.checks,
        base=entry.base,
        gpus=entry.options.get("gpus", 1),
        algorithm=entry.options.get("algorithm", "ed25519"),
        tls_bound=True,
        excluded=excluded,
        spoil=entry.spoil,
        lean=True,
        copies=entry.options.get("copies", False),
    )


@_fault("freshness.nonce_bound")
def _replayed_nonce(session: NearSession) -> None:
    """A complete old report, made for another client's nonce."""
    session.attested_nonce = session.keys.material("old-nonce", 32)


@_fault("binding.report_data")
def _swapped_key(session: NearSession) -> Document:
    """The model's record shows the attacker's signing address beside the genuine quote."""
    report = session.report()
    intruder = SigningKey.derive(session.keys, "intruder", session.algorithm)
    record = model_record(report)
    record["signing_address"], record["signing_public_key"] = intruder.address_text, intruder.public.hex()
    record["ohttp_attestation"] = session.model.ohttp.attestation(intruder)
    return session.saved(report)


@_fault("channel.tls_spki", tls_bound=True)
def _other_tls_key(session: NearSession) -> Document:
    """The connection ends at somebody else, with a good certificate, who passes genuine reports on."""
    document = session.saved()
    key = spki(session.keys.p256("intruder/tls"))
    find_exchange(document, "attestation/report")["response"]["peer_spki"] = base64.b64encode(key).decode()
    return document


@_fault("dstack.event_digests")
def _forged_event(session: NearSession) -> Document:
    """The model's event log shows another app id over the genuine digest."""

    def forge(rows: list[dict[str, Any]]) -> None:
        event_named(rows, "app-id")["event_payload"] = "66" * 20

    return session.saved(edit_logs(session.report(), forge))


@_fault("tcb.status", "tcb.advisories")
def _old_tcb(session: NearSession) -> None:
    """The model's platform runs microcode that Intel calls OutOfDate."""
    outdated(session)


@_fault("pin.base_image")
def _other_image(session: NearSession) -> None:
    """The model's machine booted a development build of the pinned image."""
    session.model.reboot(image=session.model.boot.image.with_other_command_line())


@_fault("tdx.debug_off")
def _debug_td(session: NearSession) -> None:
    """The model runs in a debug TD, which its host can read."""
    session.model.td_changes["td_attributes"] = 1 << 28 | 1


@_fault("tcb.not_revoked")
def _revoked_pck(session: NearSession) -> None:
    """Intel revoked the PCK certificate of the model's platform."""
    session.pcs.revoked_pcks = (session.model.pck_leaf,)


@_fault("gpu.evidence_signature")
def _bad_gpu(session: NearSession) -> Document:
    """One bit of a GPU measurement is flipped after signing."""

    def flip(payload: dict[str, Any]) -> None:
        raw = bytearray(base64.b64decode(payload["evidence_list"][0]["evidence"]))
        raw[52] ^= 1  # inside the first measurement value
        payload["evidence_list"][0]["evidence"] = base64.b64encode(raw).decode()

    return session.saved(edit_payload(session.report(), flip))


@_fault("gpu.nras_result")
def _nras_refuses(session: NearSession) -> None:
    """NVIDIA's service says that attestation failed."""
    session.nras.overall_changes["x-nvidia-overall-att-result"] = False


@_fault("evidence.complete")
def _other_model(session: NearSession) -> Document:
    """The record is about another model than the one that was asked for."""
    report = session.report()
    model_record(report)["model_name"] = "teeverify-test/other-model"
    return session.saved(report)


@_fault("binding.tls_spki", "binding.report_data", "evidence.complete", "evidence.wellformed", tls_bound=True)
def _downgraded_form(session: NearSession) -> None:
    """The TLS-bound form was asked for; what came is a genuine quote of the padded form, without a fingerprint."""
    session.attested_tls_bound = False


@_fault("evidence.complete", outcomes=(REJECTED, INCONCLUSIVE))
def _no_compose_manager(session: NearSession) -> Document:
    """The record has no compose manager's attestation, though the policy pins that role."""
    report = session.report()
    del model_record(report)["compose_manager_attestation"]
    return session.saved(report)


@_fault("tdx.debug_off", backends=2, only_backend=1)
def _bad_backend(session: NearSession) -> None:
    """The second machine behind the model's host is a debug TD; all others are good."""
    session.model = evolve(session.model, td_changes={"td_attributes": 1 << 28 | 1})
