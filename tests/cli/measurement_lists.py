"""Lists of measurements as Chutes publishes them, made for what a simulated session shows."""

from __future__ import annotations

import json
from typing import Any

from teeverify.testing import ChutesSession
from teeverify.testing.chutes_world import Sek8sBoot

__all__ = ["body", "changed", "listed", "row"]

Row = dict[str, Any]


def row(boot: Sek8sBoot, *, version: str = "9.1.0", name: str = "2xh200 [test]", gpu_count: int | None = 2) -> Row:
    """One row, in the spelling of the service: hex in upper case in one place and in lower case in another."""
    registers = {f"RTMR{index}": value.hex() for index, value in enumerate(boot.registers())}
    return {
        "version": version,
        "name": name,
        "mrtd": boot.mr_td.hex().upper(),
        "boot_rtmrs": registers | {"RTMR3": "0" * 96},
        "runtime_rtmrs": registers,
        "expected_gpus": ["h200"],
        "gpu_count": gpu_count,
        "fingerprint": None,
    }


def listed(session: ChutesSession) -> list[Row]:
    """A row for every instance of a session, each under a name of its own."""
    return [
        row(instance.guest.boot, name=f"{len(instance.gpus)}xh200 [{index}]", gpu_count=len(instance.gpus))
        for index, instance in enumerate(session.instances)
    ]


def changed(original: Row, runtime: Row | None = None, **members: Any) -> Row:
    """A copy of a row with other members; ``runtime`` replaces single runtime registers."""
    copy: Row = {**original, **members}
    if runtime is not None:
        copy["runtime_rtmrs"] = {**original["runtime_rtmrs"], **runtime}
    return copy


def body(rows: object) -> bytes:
    """A list as it is sent."""
    return json.dumps(rows).encode()
