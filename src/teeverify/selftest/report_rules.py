"""Dstack reports of any provider: which fields of a saved session no check depends on, and why.

A place is ``role.member.member`` inside a record, with ``#`` for indices and ``<json>`` for a step into JSON text, and
``@`` before a field of a binary document (``model.intel_quote@TD report / MRTD``). Places outside of the records begin
with ``session``, ``request``, ``answer``, ``intel`` or ``nvidia``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .alteration import Unmeasured
from .endorser_rules import ENDORSERS_UNMEASURED, endorser_facts
from .report_guards import EVENT_LOG, REPEATED
from .report_traffic import ReportTraffic

__all__ = ["REPORT_UNMEASURED", "report_facts"]

_GONE: Final = "removed|null"
_ANY: Final = ".*"

REPORT_UNMEASURED: Final = (
    Unmeasured(
        r"\w+\.tls_certificate",
        _ANY,
        "a convenience copy: the key of the connection itself counts, never a certificate inside the report",
    ),
    Unmeasured(r"gateway\.vpc(\..*)?", _ANY, "routing inside the provider's network, which nothing attests or reads"),
    Unmeasured(r"\w+\.info\.app_name", _ANY, "a label: the measured name stands inside app_compose"),
    Unmeasured(
        REPEATED,
        _GONE,
        "it repeats a measured value: what is not stated cannot mislead, what is stated must be right",
    ),
    Unmeasured(
        r"\w+\.info\.vm_config\.<json>\.(?!os_image_hash).*|compose_manager\.vm_config(\..*)?",
        _ANY,
        "how the host built the machine: what it built is measured into RTMR0, which is pinned",
    ),
    Unmeasured(
        r"\w+\.info\.vm_config",
        _GONE,
        "how the host built the machine: only an os_image_hash that is stated there is held against the measured one",
    ),
    Unmeasured(
        r"\w+\.info\.app_cert",
        _GONE,
        "not demanded: the measured key provider stands for itself, and pin.kms_root decides which one is good",
    ),
    Unmeasured(
        rf"\w+\.{EVENT_LOG}",
        _GONE,
        "one of two copies of the event log: the other one still replays to the registers",
    ),
    Unmeasured(r"\w+\.report_data", _GONE, "a copy of the quote's own REPORTDATA, which is what counts"),
    Unmeasured(
        rf"\w+\.{EVENT_LOG}\.#\.(event|event_payload|event_type):boot",
        "changed",
        "name, payload and type of a firmware event are not measured and not read: only its digest is",
    ),
    Unmeasured(r"\w+\.(intel_quote|quote)@padding", "removed", "zero bytes behind the signature, which nothing signs"),
    Unmeasured(
        r"model\.nvidia_payload\.<json>(\.evidence_list\.#)?\.(nonce|arch)",
        _GONE,
        "a label of the sender: absent it claims nothing, present it must agree with the evidence",
    ),
    Unmeasured(
        r"model\.all_attestations",
        f"{_GONE}|emptied",
        "copies of the record, which are judged only where they differ from it",
    ),
    Unmeasured(
        r"session\.model:everywhere",
        _ANY,
        "a known gap: nothing in a quote names the model, its signing key stands for it as far as you pin it",
    ),
    Unmeasured(
        r"model\.nvidia_payload",
        _GONE,
        "the policy does not require GPUs",
        given="gpus_not_required",
    ),
    Unmeasured(
        r"model\.nvidia_payload\.<json>\.evidence_list\.#",
        "removed",
        "the policy demands fewer GPUs than the report shows, and one that is not shown is not counted",
        given="spare_gpus",
    ),
    Unmeasured(
        r"model\.nvidia_payload\.<json>\.evidence_list",
        "reordered",
        "the order of the GPUs means nothing where NVIDIA is not asked about them",
        given="nvidia_not_asked",
    ),
    Unmeasured(
        r"record\.model",
        "removed",
        "the report shows several machines, and nothing says how many there should be",
        given="several_models",
    ),
    Unmeasured(
        r"record\.compose_manager",
        _GONE,
        "the policy pins no compose_manager, so none is demanded",
        given="compose_manager_not_pinned",
    ),
    Unmeasured(
        r"\w+\.tls_cert_fingerprint",
        _ANY,
        "the report was asked for without the TLS key, so no check reads the fingerprint",
        given="tls_not_asked",
    ),
    *ENDORSERS_UNMEASURED,
)


def report_facts(traffic: ReportTraffic, gpus: int) -> Iterator[str]:
    """The facts that some entries depend on; ``gpus`` is the least number that a model record shows."""
    yield from endorser_facts(traffic, gpus)
    if sum(record.role == "model" for record in traffic.records) > 1:
        yield "several_models"
    if traffic.policy.pins_for("compose_manager") is None:
        yield "compose_manager_not_pinned"
    if not traffic.asked.tls_bound:
        yield "tls_not_asked"
