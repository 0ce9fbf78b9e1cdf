"""The strict policy that pins exactly what a simulated Chutes session shows, as TOML text."""

from __future__ import annotations

from collections.abc import Iterable

from .chutes import ChutesSession

__all__ = ["chutes_policy"]


def chutes_policy(
    session: ChutesSession,
    *,
    name: str = "chutes-test",
    mode: str = "all",
    nras: str = "required",
    min_count: int | None = None,
    valid_until: str = "2036-01-01",
) -> str:
    """The policy of a session, in the form of a policy file.

    The registers of every instance are pinned as a whole tuple, RTMR3 included, since no event log explains it. What
    `Sek8sGuest.td_changes` changes is not pinned.

    Args:
        session: what to pin.
        name: the policy's name.
        mode: "all" or "any", of the instances.
        nras: what is asked of NVIDIA's answer: "required", "when_present" or "ignore".
        min_count: how many GPUs each instance must have, the largest number that one has unless given.
        valid_until: an ISO date.
    """
    counts = (len(instance.gpus) for instance in session.instances)
    least = max(counts, default=1) if min_count is None else min_count
    lines = [
        "# Pins what the simulated session shows. TEST ONLY: it describes no machine that exists.",
        f'name = "{name}"',
        f'provider = "{session.provider}"',
        f"valid_until = {valid_until}",
        "",
        "[tcb]",
        'accept = ["UpToDate"]',
        "allow_advisories = []",
        "min_eval_number = 19",
        "",
        "[gpu]",
        "require = true",
        f"min_count = {least}",
        'arch = ["HOPPER"]',
        f'nras = "{nras}"',
        "",
        "[instances]",
        f'mode = "{mode}"',
        "",
        "[pins.instance]",
        "base_images = [",
        *_base_images(session, name),
        "]",
        f"mr_seam = {_strings(instance.guest.boot.mr_seam.hex() for instance in session.instances)}",
    ]
    return "\n".join(lines) + "\n"


def _base_images(session: ChutesSession, name: str) -> Iterable[str]:
    seen = set()
    for instance in session.instances:
        boot = instance.guest.boot
        values = (boot.mr_td, *boot.registers())
        if values not in seen:
            registers = ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3")
            pins = ", ".join(f'{register} = "{value.hex()}"' for register, value in zip(registers, values, strict=True))
            yield f'  {{label = "{name} {instance.instance_id[:8]}", {pins}}},'
        seen.add(values)


def _strings(values: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in dict.fromkeys(values)) + "]"
