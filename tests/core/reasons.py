"""One case for every reason that the checks of these themes can give: the good subject with one claim changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

import attrs
from attrs import field, frozen

from teeverify.claims.dstack import AppCertificate, KeyProvider, NamedLog
from teeverify.claims.problem import ProblemKind
from teeverify.claims.subject import Subject
from teeverify.formats.app_compose import AppCompose
from teeverify.formats.event_log import EventLog
from teeverify.formats.mr_config import mr_config_v3
from teeverify.policy import ComposeFlags, Policy, Waiver
from teeverify.policy_pins import AcpiTables

from .subjects import NOW, change, policy_of, problem, subject_of, with_pins

__all__ = ["CASES", "Case"]


@frozen
class Case:
    """A check, the reason it must give, and the subject and policy that make it."""

    check: str
    reason: str
    status: str
    make: Callable[[], Subject]
    policy: Callable[[], Policy] = field(default=policy_of)


def _case(check: str, reason: str, path: str, new: Any, *, status: str = "fail", **other: Any) -> Case:
    """The good model subject with one claim replaced; ``new`` may be a function of the subject."""
    role, shape = other.get("role", "model"), other.get("shape", "direct")

    def make() -> Subject:
        subject = subject_of(role, shape)
        if not path:
            return subject
        value: Subject = change(subject, path, new(subject) if callable(new) else new)
        return value

    return Case(check, reason, status, make, other.get("policy", policy_of))


def _first_log(subject: Subject) -> NamedLog:
    assert subject.dstack is not None
    log = subject.dstack.logs[0]
    assert isinstance(log, NamedLog)
    return log


def _logs(edit: Callable[[list[Any]], list[Any]]) -> Callable[[Subject], tuple[NamedLog, ...]]:
    """All copies of the log with their events edited."""

    def edited(subject: Subject) -> tuple[NamedLog, ...]:
        log = _first_log(subject)
        return (attrs.evolve(log, log=EventLog(events=tuple(edit(list(log.log.events))))),)

    return edited


def _stated(name: str, value: Any) -> Callable[[Subject], dict[str, Any]]:
    return lambda subject: {**subject.dstack.stated, name: value} if subject.dstack else {}


def _identity(**changes: Any) -> Callable[[Subject], Any]:
    return lambda subject: attrs.evolve(subject.dstack.identity, **changes)  # type: ignore[union-attr]


def _quote(path: str, new: Any) -> Callable[[Subject], Any]:
    return lambda subject: change(subject.tdx.quote, path, new)  # type: ignore[union-attr]


def _by_acpi_tables() -> Policy:
    """The good policy with its base image pinned by ACPI tables that the simulated machine does not have."""
    (image, *_) = policy_of().pins["model"].base_images or ()
    acpi = (AcpiTables(label="another shape", loader=_OTHER48, rsdp=_OTHER48, tables=_OTHER48),)
    return with_pins(base_images=(attrs.evolve(image, rtmr0=None, acpi=acpi),))


def _invalid(code: str) -> Any:
    return problem(ProblemKind.INVALID, code)


def _tcb_info(**changes: Any) -> Callable[[Subject], Any]:
    def edited(subject: Subject) -> Any:
        assert subject.tdx is not None
        collateral: Any = subject.tdx.collateral
        return attrs.evolve(collateral, tcb_info=attrs.evolve(collateral.tcb_info, **changes))

    return edited


def _nothing_dated(subject: Subject) -> Any:
    assert subject.tdx is not None
    gone = problem(ProblemKind.UNAVAILABLE)
    return attrs.evolve(subject.tdx, collateral=gone)


_DAY: Final = timedelta(days=1)
_ABSENT: Final = problem(ProblemKind.ABSENT, "member_missing", "part")
_OTHER32: Final = b"\x22" * 32
_OTHER48: Final = b"\x22" * 48
_STRANGER: Final = AppCertificate(root_spki=b"\x30\x00", app_ids=())


def _gateway_only() -> Policy:
    policy = policy_of()
    return attrs.evolve(policy, pins={"gateway": policy.pins["model"]})


def _compose(edit: Callable[[dict[str, Any]], None]) -> Callable[[Subject], Any]:
    """The compose document with its JSON edited; that it has another hash then is another check's business."""

    def edited(subject: Subject) -> Any:
        assert subject.dstack is not None
        compose = subject.dstack.app_compose
        assert isinstance(compose, AppCompose)
        document = json.loads(compose.text)
        edit(document)
        return attrs.evolve(compose, text=json.dumps(document))

    return edited


def _services(**members: Any) -> Callable[[dict[str, Any]], None]:
    service = {"image": f"a/b@sha256:{'1' * 64}", **members}
    return lambda document: document.update(docker_compose_file=json.dumps({"services": {"app": service}}))


def _digests() -> Policy:
    return with_pins(images_by_digest=True)


def _flags(**demands: Any) -> Callable[[], Policy]:
    return lambda: with_pins(compose_flags=ComposeFlags(**demands))


_VERSION_3: Final = b"\x03" + bytes(47)
_QUOTED: Final[dict[str, Any]] = {"leaf_spki": b"\x30", "usages": (b"app:custom", b"app:ca")}


def _bound(document: bytes) -> Callable[[Subject], Any]:
    """A quote with MRCONFIGID of version 3 over the document that the record shows."""

    def edited(subject: Subject) -> Any:
        assert subject.dstack is not None
        quote = change(subject.tdx, "quote.report.mr_config_id", mr_config_v3(document))
        return attrs.evolve(subject, tdx=quote, dstack=attrs.evolve(subject.dstack, mr_config=document))

    return edited


def _certificate(**changes: Any) -> Callable[[Subject], Any]:
    """The app certificate with some claims replaced; ``quote`` may be a function of the TD's quote."""

    def edited(subject: Subject) -> Any:
        assert subject.dstack is not None
        assert subject.tdx is not None
        made = {name: one(subject.tdx.quote) if callable(one) else one for name, one in changes.items()}
        certificate = subject.dstack.app_certificate
        assert isinstance(certificate, AppCertificate)
        return attrs.evolve(certificate, **made)

    return edited


def _no_pins() -> Policy:
    policy = policy_of()
    return attrs.evolve(policy, pins={"compose_manager": policy.pins["compose_manager"]})


def _waived_pin() -> Policy:
    return attrs.evolve(policy_of(), waivers=(Waiver(check="pin.compose", reason="a test"),))


CASES: Final = (
    _case("evidence.wellformed", "malformed", "tdx.pck", problem(ProblemKind.MALFORMED)),
    _case("evidence.complete", "missing", "binding.ohttp", _ABSENT),
    _case("evidence.complete", "other_model", "record", (_invalid("other_model"),)),
    _case("evidence.complete", "other_provider", "record", (_invalid("other_provider"),)),
    _case("evidence.complete", "role_missing", "attested_beside", ()),
    _case(
        "freshness.nonce_bound",
        "nonce_mismatch",
        "binding.report_data",
        lambda s: s.binding.report_data[:32] + _OTHER32,
    ),
    _case("freshness.nonce_bound", "no_client_nonce", "binding.asked_nonce", _invalid("no_client_nonce")),
    _case("freshness.nonce_bound", "asked_other_nonce", "binding.asked_nonce", _OTHER32),
    _case("freshness.nonce_bound", "echo_mismatch", "binding.echoed_nonces", (_OTHER32,)),
    _case("freshness.nonce_bound", "server_nonce", "binding.nonce_source", "server", role="compose_manager"),
    _case("binding.report_data", "other_bytes", "binding.first_half", _OTHER32),
    _case(
        "binding.report_data", "actions_hash", "binding.first_half", _invalid("actions_hash"), role="compose_manager"
    ),
    _case("binding.report_data", "other_second_half", "binding.second_half", _OTHER32),
    _case("binding.report_data", "stated_copy", "binding.stated_report_data", bytes(64)),
    _case("binding.signing_key", "other_algorithm", "binding.signing_key.stated_algorithm", "ecdsa"),
    _case("binding.signing_key", "not_on_curve", "binding.signing_key.derived_address", None),
    _case("binding.signing_key", "other_address", "binding.signing_key.derived_address", _OTHER32),
    _case("binding.tls_spki", "missing", "binding.tls_fingerprint", _ABSENT),
    _case("binding.e2ee_key", "bad_signature", "binding.ohttp.signature_valid", False),
    _case("binding.e2ee_key", "other_signer", "binding.ohttp.signing_key", _OTHER32),
    _case("binding.e2ee_key", "other_signer", "binding.signing_key", None),
    _case("binding.e2ee_key", "other_config", "binding.ohttp.served_config", b"\0"),
    _case("binding.e2ee_key", "not_bound", "binding.signing_key.algorithm", "ecdsa", status="info"),
    _case("binding.distinct_instances", "shared", "binding.sharing", ("the quote",)),
    _case("binding.same_td", "other_td", "binding.host_quote.report.rtmr3", _OTHER48, role="compose_manager"),
    _case("binding.same_td", "other_td", "binding.host_quote.user_data", bytes(20), role="compose_manager"),
    _case("binding.same_td", "same_quote", "binding.host_quote", lambda s: s.tdx.quote, role="compose_manager"),
    _case(
        "dstack.event_digests",
        "other_digest",
        "dstack.logs",
        _logs(lambda events: [*events[:-1], attrs.evolve(events[-1], digest=_OTHER48)]),
    ),
    _case("dstack.rtmr_replay", "other_register", "dstack.logs", _logs(lambda events: events[:-1])),
    _case("dstack.rtmr_replay", "other_register", "tdx.quote", _quote("report.rtmr0", _OTHER48)),
    _case("dstack.rtmr_replay", "stated_register", "dstack.stated", _stated("tcb_info.rtmr2", _OTHER48)),
    *(
        _case("dstack.event_order", code, "dstack.identity", _invalid(code))
        for code in ("event_order", "event_missing", "event_repeated", "event_payload")
    ),
    _case("dstack.compose_event", "other_compose", "dstack.identity", _identity(compose_hash=_OTHER32)),
    _case("dstack.compose_event", "stated_hash", "dstack.stated", _stated("info.compose_hash", _OTHER32)),
    _case("dstack.compose_event", "stated_hash", "dstack.stated", _stated("tcb_info.compose_hash", _OTHER32)),
    _case("dstack.mr_config_id", "unset", "tdx.quote", _quote("report.mr_config_id", bytes(48))),
    _case("dstack.mr_config_id", "version", "tdx.quote", _quote("report.mr_config_id", b"\x04" + bytes(47))),
    _case("dstack.mr_config_id", "document_missing", "tdx.quote", _quote("report.mr_config_id", _VERSION_3)),
    Case("dstack.mr_config_id", "other_document", "fail", lambda: _bound(b"{}")(subject_of())),
    _case("dstack.mr_config_id", "other_config", "tdx.quote", _quote("report.mr_config_id", b"\x01" + bytes(47))),
    _case(
        "dstack.key_provider", "not_kms", "dstack.identity", _identity(key_provider=KeyProvider(name="local", id=b""))
    ),
    _case("dstack.key_provider", "stated_provider", "dstack.stated", _stated("info.key_provider_info", b"{}")),
    _case("dstack.key_provider", "app_cert_chain", "dstack.app_certificate", _invalid("app_cert_chain")),
    _case("dstack.key_provider", "other_root", "dstack.app_certificate", _STRANGER),
    _case("dstack.key_provider", "other_usage", "dstack.app_certificate", _certificate(usages=(b"app:ca", b"app:ca"))),
    _case(
        "dstack.key_provider",
        "other_td",
        "dstack.app_certificate",
        _certificate(**_QUOTED, quote=lambda quote: change(quote, "report.rtmr3", _OTHER48)),
    ),
    _case(
        "dstack.key_provider",
        "other_key",
        "dstack.app_certificate",
        _certificate(**_QUOTED, quote=lambda quote: quote),
    ),
    _case("dstack.key_provider", "other_app", "dstack.app_certificate.app_ids", (b"\x22" * 20,)),
    _case("dstack.reported_info", "differs", "dstack.stated", _stated("info.app_id", b"\x22" * 20)),
    _case("dstack.reported_info", "differs", "dstack.stated", _stated("tcb_info.mrtd", _OTHER48)),
    _case("dstack.reported_info", "differs", "dstack.stated", _stated("vm_config.os_image_hash", _OTHER32)),
    _case("dstack.reported_info", "differs", "dstack.stated", _stated("info.mr_aggregated", _OTHER32)),
    _case("dstack.reported_info", "differs", "dstack.stated", _stated("info.device_id", _OTHER32)),
    *(
        _case("pin.base_image", "not_pinned", "tdx.quote", _quote(f"report.{register}", _OTHER48))
        for register in ("mr_td", "rtmr0", "rtmr1", "rtmr2")
    ),
    _case("pin.base_image", "memory_size_missing", "dstack.memory_size", None, policy=_by_acpi_tables),
    _case("pin.base_image", "other_rtmr0", "dstack.memory_size", 4 << 30, policy=_by_acpi_tables),
    _case("pin.app_id", "not_pinned", "dstack.identity", _identity(app_id=b"\x22" * 20)),
    _case("pin.compose", "not_pinned", "dstack.identity", _identity(compose_hash=_OTHER32)),
    _case("pin.kms_root", "not_pinned", "dstack.identity", _identity(key_provider=KeyProvider(name="kms", id=b"\x22"))),
    _case("pin.os_image", "not_pinned", "dstack.identity", _identity(os_image_hash=None)),
    *(
        _case("pin.images_by_digest", reason, "dstack.app_compose", _compose(edit), policy=_digests)
        for reason, edit in (
            ("loose_image", _services(image="a/b:latest")),
            ("unreadable", lambda document: document.update(docker_compose_file="services: [")),
        )
    ),
    *(
        _case("pin.compose_flags", reason, "dstack.app_compose", _compose(edit), policy=_flags(**demands))
        for reason, demands, edit in (
            ("env_not_allowed", {"allowed_envs": ()}, lambda document: None),
            ("script_not_pinned", {"pre_launch_scripts": ()}, lambda document: document.update(pre_launch_script="x")),
            ("forbidden", {"privileged": False}, _services(privileged=True)),
            ("flag_missing", {"tproxy_enabled": False}, lambda document: None),
            ("other_flag", {"public_logs": True}, lambda document: None),
            ("unknown_member", {"public_logs": False}, lambda document: document.update(hook="x")),
            ("unreadable", {"public_logs": False}, lambda document: document.update(runner="bash")),
        )
    ),
    _case("pin.signing_key", "not_pinned", "", None, policy=lambda: with_pins(signing_keys=(_OTHER32,))),
    _case(
        "pin.signing_key", "not_pinned", "binding.signing_key", None, policy=lambda: with_pins(signing_keys=(_OTHER32,))
    ),
    _case("pin.tls_spki", "not_pinned", "", None, policy=lambda: with_pins(tls_spki=(_OTHER32,))),
    _case(
        "pin.tls_spki", "not_pinned", "binding.tls_fingerprint", None, policy=lambda: with_pins(tls_spki=(_OTHER32,))
    ),
    _case("policy.shape", "other_shape", "shape", "chutes"),
    _case("policy.shape", "no_gpu", "shape", "aci", policy=_gateway_only),
    _case(
        "pin.reference_current",
        "expired",
        "",
        None,
        policy=lambda: attrs.evolve(policy_of(), valid_until=date(2026, 6, 14)),
    ),
    _case("channel.tls_spki", "other_key", "channel.peer_fingerprint", _OTHER32),
    _case("channel.tls_spki", "not_bound", "binding.tls_fingerprint", None, status="unevaluated"),
    _case("policy.pinned", "role_not_pinned", "", None, policy=_no_pins),
    _case("policy.pinned", "incomplete_pins", "", None, policy=lambda: with_pins(compose=None)),
    _case("policy.pinned", "incomplete_pins", "", None, policy=lambda: with_pins(base_images=None)),
    _case("policy.pinned", "waived_pin", "", None, policy=_waived_pin),
    _case("policy.pinned", "unenforced_pin", "dstack", None),
    _case("policy.pinned", "unenforced_pin", "", None, policy=lambda: with_pins(pcrs=({"pcr0": _OTHER48},))),
    _case(
        "policy.pinned",
        "unenforced_pin",
        "binding.tls_fingerprint",
        None,
        policy=lambda: with_pins(tls_spki=(_OTHER32,)),
    ),
    _case("saved.recorded_at", "before_signed_time", "recorded_at", NOW - 2 * _DAY),
    _case("saved.recorded_at", "after_signed_end", "tdx.collateral", _tcb_info(next_update=NOW - _DAY)),
    _case("saved.recorded_at", "in_future", "wall_clock", NOW - _DAY),
    _case("saved.recorded_at", "no_signed_time", "tdx", _nothing_dated, status="unevaluated", role="compose_manager"),
)
