"""Defects of what the guest says that it measured, and of its GPUs, in the form of a vllm-proxy's report."""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve

from .edits import boot, event, first, flipped, gpus, in_all_logs, info, logs, runtime, tcb, without, without_preimage
from .model import FrontDefect, FrontSpoil, edited, turned

__all__ = ["guest_defects"]

_FORM: Final = ("evidence.wellformed",)
_REPLAY: Final = ("dstack.rtmr_replay",)
_ORDER: Final = (*_FORM, "dstack.event_digests", "dstack.event_order")
_Row = tuple[int, str, str, FrontSpoil, tuple[str, ...]]


def _no_preimages(report: Any) -> None:
    in_all_logs(report, without_preimage)


_ROWS: Final[tuple[_Row, ...]] = (
    (
        16,
        "payload-replaced-inside",
        "The inner copy of the log shows another app id over the genuine digest.",
        edited(logs(event("app-id", event_payload="ee" * 20), outer=False)),
        ("dstack.event_digests",),
    ),
    (
        17,
        "payload-without-digest",
        "Another compose hash, and no digest that could contradict it.",
        edited(logs(event("compose-hash", event_payload="ee" * 32, digest=""))),
        _REPLAY,
    ),
    (
        17,
        "boot-digest-left-out",
        "The first boot event has no digest.",
        edited(logs(first(digest=""))),
        (*_REPLAY, *_FORM),
    ),
    (18, "digest-long", "A digest has 49 bytes.", edited(logs(first(digest="ab" * 49))), _FORM),
    (
        21,
        "boot-without-end",
        "There is no boot-mr-done event.",
        turned(runtime(without("boot-mr-done"))),
        ("dstack.event_order",),
    ),
    (
        21,
        "boot-without-beginning",
        "There is no system-preparing event.",
        turned(runtime(without("system-preparing"))),
        ("dstack.event_order",),
    ),
    (
        22,
        "name-split-elsewhere",
        "An event's name ends with the colon that separates it from its payload.",
        edited(logs(event("app-id", event="app-id:", digest=""))),
        (*_ORDER, *_REPLAY),
    ),
    (22, "type-other", "A guest's event has a foreign type.", edited(logs(event("app-id", event_type=10))), _ORDER),
    (
        23,
        "register-2",
        "A guest's event stands in register 2.",
        edited(logs(event("app-id", imr=2))),
        (*_ORDER, *_REPLAY),
    ),
    (
        24,
        "preimage-missing",
        "Events of version 2 have no preimage.",
        turned(boot(lambda own: evolve(own, event_version=2)), _no_preimages),
        (*_FORM, "dstack.event_digests"),
    ),
    (
        24,
        "event-version-unknown",
        "An event has a version that nobody defined.",
        edited(logs(event("app-id", version=3))),
        _FORM,
    ),
    (25, "register-negative", "An event is for register -1.", edited(logs(first(imr=-1))), _FORM),
    (25, "register-true", "An event is for register true.", edited(logs(first(imr=True))), _FORM),
    (25, "register-float", "An event is for register 0.0.", edited(logs(first(imr=0.0))), _FORM),
    (
        27,
        "compose-member-twice",
        "The measured compose document names a member two times.",
        turned(boot(lambda own: evolve(own, app_compose='{"runner":"a",' + own.app_compose[1:]))),
        (*_FORM, "pin.compose"),
    ),
    (
        31,
        "os-image-claimed",
        "The hash of the OS image is claimed only.",
        edited(info(os_image_hash="ab" * 32)),
        ("dstack.reported_info",),
    ),
    (
        32,
        "rtmr0-claimed",
        "Register 0 is claimed only.",
        edited(tcb("rtmr0", flipped(0))),
        ("dstack.reported_info", *_REPLAY),
    ),
    (
        33,
        "key-provider-none",
        "The machine made its disk keys itself.",
        turned(boot(lambda own: evolve(own, key_provider_name="none"))),
        ("dstack.key_provider",),
    ),
    (
        34,
        "app-certificate-unreadable",
        "The certificate of the application cannot be read.",
        edited(info(app_cert="-----BEGIN CERTIFICATE-----")),
        _FORM,
    ),
    (
        38,
        "gpu-payload-missing",
        "There is no GPU evidence at all.",
        edited(lambda body: body.pop("nvidia_payload") and None),
        ("gpu.present", "evidence.complete"),
    ),
    (
        38,
        "gpu-arch-other",
        "The GPU evidence calls itself another architecture.",
        edited(gpus(lambda payload: payload.update(arch="BLACKWELL"))),
        (*_FORM, "gpu.present"),
    ),
)


def guest_defects() -> tuple[FrontDefect, ...]:
    """All of them."""
    return tuple(
        FrontDefect(name=name, number=number, description=description, spoil=spoil, checks=frozenset(checks))
        for number, name, description, spoil, checks in _ROWS
    )
