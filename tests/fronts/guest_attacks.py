"""Attacks on what the guest measured, on its GPUs and on NVIDIA's answer."""

from __future__ import annotations

import json
from typing import Final

import attrs

from .alterations import (
    STRANGER,
    Make,
    boot,
    event,
    first,
    flipped,
    gpus,
    images_by_digest,
    in_all_logs,
    info,
    logs,
    moved,
    nvidia,
    on,
    runtime,
    spoiled,
    tcb,
    twice,
    without,
    without_preimage,
)
from .world import NANOGPT, VENICE

__all__ = ["GUEST_ATTACKS"]

_FORM: Final = ("evidence.wellformed",)
_REPLAY: Final = ("dstack.rtmr_replay",)

GUEST_ATTACKS: Final[tuple[tuple[int, str, Make, tuple[str, ...]], ...]] = (
    (
        16,
        "payload, digest kept",
        on(NANOGPT, logs(event("compose-hash", event_payload="ee" * 32))),
        ("dstack.event_digests",),
    ),
    (
        16,
        "payload in the inner log only",
        on(NANOGPT, logs(event("app-id", event_payload="ee" * 20), outer=False)),
        ("dstack.event_digests",),
    ),
    (
        17,
        "payload without digest",
        on(NANOGPT, logs(event("compose-hash", event_payload="ee" * 32, digest=""))),
        _REPLAY,
    ),
    (17, "a boot digest left out", on(NANOGPT, logs(first(digest=""))), ("dstack.rtmr_replay", *_FORM)),
    (18, "a longer digest", on(NANOGPT, logs(first(digest="ab" * 49))), _FORM),
    (18, "a shorter digest", on(NANOGPT, logs(first(digest="ab" * 47))), _FORM),
    (20, "compose-hash twice", spoiled("nanogpt", runtime(twice("compose-hash"))), ("dstack.event_order",)),
    (20, "app-id twice", spoiled("nanogpt", runtime(twice("app-id"))), ("dstack.event_order",)),
    (
        21,
        "compose-hash too late",
        spoiled("nanogpt", runtime(moved("compose-hash", "system-ready"))),
        ("dstack.event_order",),
    ),
    (21, "no end of the boot", spoiled("nanogpt", runtime(without("boot-mr-done"))), ("dstack.event_order",)),
    (21, "never ready", spoiled("nanogpt", runtime(without("system-ready"))), ("dstack.event_order",)),
    (21, "no beginning", spoiled("nanogpt", runtime(without("system-preparing"))), ("dstack.event_order",)),
    (
        22,
        "split at another colon",
        on(NANOGPT, logs(event("app-id", event="app-id:", digest=""))),
        (*_FORM, "dstack.event_digests", "dstack.event_order", *_REPLAY),
    ),
    (
        22,
        "another type",
        on(NANOGPT, logs(event("app-id", event_type=10))),
        (*_FORM, "dstack.event_digests", "dstack.event_order"),
    ),
    (
        23,
        "a guest's event in register 2",
        on(NANOGPT, logs(event("app-id", imr=2))),
        (*_FORM, "dstack.event_digests", "dstack.event_order", *_REPLAY),
    ),
    (
        24,
        "version 2 without preimage",
        spoiled(
            "nanogpt",
            boot(lambda own: attrs.evolve(own, event_version=2)),
            lambda report: in_all_logs(report, without_preimage),
        ),
        (*_FORM, "dstack.event_digests"),
    ),
    (24, "a version that nobody defined", on(NANOGPT, logs(event("app-id", version=3))), _FORM),
    (25, "register -1", on(NANOGPT, logs(first(imr=-1))), _FORM),
    (25, "register true", on(NANOGPT, logs(first(imr=True))), _FORM),
    (25, "register 0.0", on(NANOGPT, logs(first(imr=0.0))), _FORM),
    (
        26,
        "the text",
        on(NANOGPT, tcb("app_compose", lambda text: text.replace("vllm", "vlln"))),
        ("dstack.compose_event",),
    ),
    (
        26,
        "the text, written again",
        on(NANOGPT, tcb("app_compose", lambda text: json.dumps(json.loads(text), indent=1))),
        ("dstack.compose_event",),
    ),
    (
        27,
        "a member twice",
        spoiled("nanogpt", boot(lambda own: attrs.evolve(own, app_compose='{"runner":"a",' + own.app_compose[1:]))),
        (*_FORM, "pin.compose"),
    ),
    (
        29,
        "an unknown image",
        spoiled("phala", boot(lambda own: attrs.evolve(own, image=attrs.evolve(own.image, mr_td=b"\1" * 48)))),
        ("pin.base_image",),
    ),
    (
        30,
        "a development image",
        spoiled("phala", boot(lambda own: attrs.evolve(own, image=own.image.with_other_command_line()))),
        ("pin.base_image",),
    ),
    (31, "the hash is claimed only", on(NANOGPT, info(os_image_hash="ab" * 32)), ("dstack.reported_info",)),
    (32, "RTMR0 is claimed only", on(NANOGPT, tcb("rtmr0", flipped(0))), ("dstack.reported_info", *_REPLAY)),
    (
        33,
        "a key provider of its own",
        spoiled("nanogpt", boot(lambda own: attrs.evolve(own, key_provider_name="none"))),
        ("dstack.key_provider",),
    ),
    (
        33,
        "the provider's name is claimed only",
        on(NANOGPT, info(key_provider_info='{"name":"kms","id":"00"}')),
        ("dstack.reported_info", "dstack.key_provider"),
    ),
    (34, "no certificate that can be read", on(NANOGPT, info(app_cert="-----BEGIN CERTIFICATE-----")), _FORM),
    (36, "images by tag", images_by_digest, ("pin.images_by_digest",)),
    (38, "no evidence", on(VENICE, gpus(lambda payload: payload.update(evidence_list=[]))), ("gpu.present", *_FORM)),
    (
        38,
        "no payload",
        on(VENICE, lambda body: body.pop("nvidia_payload") and None),
        ("gpu.present", "evidence.complete"),
    ),
    (38, "seven of eight", on(VENICE, gpus(lambda payload: payload["evidence_list"].pop() and None)), ("gpu.present",)),
    (
        38,
        "another architecture",
        on(VENICE, gpus(lambda payload: payload.update(arch="BLACKWELL"))),
        (*_FORM, "gpu.present"),
    ),
    (
        38,
        "one GPU twice",
        on(VENICE, gpus(lambda p: p["evidence_list"].__setitem__(0, p["evidence_list"][1]))),
        ("gpu.distinct_devices",),
    ),
    (
        38,
        "the GPUs of another challenge",
        spoiled("phala", lambda s: setattr(s.machines, "gpu_nonce", STRANGER)),
        ("gpu.nonce_bound",),
    ),
    (39, "unsigned", spoiled("phala", lambda s: nvidia(s, header_changes={"alg": "none"})), ("gpu.nras_token",)),
    (
        39,
        "NVIDIA says no",
        spoiled("phala", lambda s: nvidia(s, overall_changes={"x-nvidia-overall-att-result": False})),
        ("gpu.nras_result",),
    ),
)
"""Number, title, how to make it, the checks of which one must decide."""
