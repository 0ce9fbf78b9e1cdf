"""The strict policy that pins exactly what a simulated NEAR session shows, as TOML text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from .enclave import Enclave
from .near import NearSession

__all__ = ["PolicyText", "enclave_pins", "near_policy"]


@frozen(kw_only=True)
class PolicyText:
    """What varies between the policies of the fixtures."""

    name: str
    min_count: int
    valid_until: str = "2036-01-01"
    accept: Sequence[str] = ("UpToDate",)
    allow_advisories: Sequence[str] = ()
    min_eval_number: int = 19
    nras: str = "required"
    signing_keys: Mapping[str, Sequence[str]] = field(factory=dict)
    tls_spki: Mapping[str, Sequence[str]] = field(factory=dict)
    waive: Sequence[tuple[str, str]] = ()
    """(check id, role) pairs."""
    provider: str = "near"
    compose_manager: bool = True
    """Whether the compose manager's TD is pinned as a role of its own."""


def near_policy(session: NearSession, text: PolicyText | None = None) -> str:
    """The policy of a session, in the form of a policy file."""
    text = text or PolicyText(name="near-test", min_count=len(session.gpus))
    roles: list[tuple[str, Enclave]] = [("model", session.model)]
    if text.compose_manager:
        roles.append(("compose_manager", session.compose_manager))
    if session.gateway is not None:
        roles.insert(0, ("gateway", session.gateway))
    lines = [
        "# Pins what the simulated session shows. TEST ONLY: it describes no machine that exists.",
        f'name = "{text.name}"',
        f'provider = "{text.provider}"',
        f"valid_until = {text.valid_until}",
        "",
        "[tcb]",
        f"accept = {_strings(text.accept)}",
        f"allow_advisories = {_strings(text.allow_advisories)}",
        f"min_eval_number = {text.min_eval_number}",
        "",
        "[gpu]",
        "require = true",
        f"min_count = {text.min_count}",
        'arch = ["HOPPER"]',
        f'nras = "{text.nras}"',
        "",
        "[instances]",
        'mode = "all"',
    ]
    for role, enclave in roles:
        lines += ["", *enclave_pins(role, enclave, text)]
    for check, role in text.waive:
        lines += [
            "",
            "[[waive]]",
            f'check = "{check}"',
            f'role = "{role}"',
            'reason = "this simulated session does not bind TLS"',
            f"expires = {text.valid_until}",
        ]
    return "\n".join(lines) + "\n"


def enclave_pins(role: str, enclave: Enclave, text: PolicyText) -> Iterable[str]:
    """The lines that pin what one TD shows."""
    boot = enclave.boot
    rtmr0, rtmr1, rtmr2, _ = boot.registers()
    yield f"[pins.{role}]"
    yield "base_images = ["
    registers = {"mrtd": boot.image.mr_td, "rtmr0": rtmr0, "rtmr1": rtmr1, "rtmr2": rtmr2}
    tuple_text = ", ".join(f'{register} = "{value.hex()}"' for register, value in registers.items())
    yield f'  {{label = "{text.name} {role}", {tuple_text}}},'
    yield "]"
    yield f"mr_seam = {_strings([boot.image.mr_seam.hex()])}"
    yield f"app_ids = {_strings([boot.app_id.hex()])}"
    yield f"compose = {_strings([boot.compose_hash.hex()])}"
    yield f"kms_roots = {_strings([boot.kms.spki.hex()])}"
    yield f"os_images = {_strings([boot.image.os_image_hash.hex()])}"
    if role in text.signing_keys:
        yield f"signing_keys = {_strings(text.signing_keys[role])}"
    if role in text.tls_spki:
        yield f"tls_spki = {_strings(text.tls_spki[role])}"


def _strings(values: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"
