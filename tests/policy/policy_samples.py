"""A small valid policy, as TOML text and as values, and strategies that vary it."""

import os
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from teeverify.check_ids import KNOWN, MANDATORY
from teeverify.policy import BaseImage, GpuPolicy, Policy, ReferenceValues, TcbPolicy, Waiver
from teeverify.policy_fields import GPU_ARCHITECTURES, INSTANCE_MODES, NRAS_MODES, ROLES, TCB_STATUSES

WAIVABLE = tuple(check for check in KNOWN if check not in MANDATORY)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + b"\x11" * 64


def reg(byte: int) -> bytes:
    return bytes([byte]) * 48


def image(byte: int = 1, **changes: Any) -> BaseImage:
    values: dict[str, Any] = {"label": f"image {byte}", "rtmr3": None}
    values |= {name: reg(byte) for name in ("mrtd", "rtmr0", "rtmr1", "rtmr2")}
    return BaseImage(**(values | changes))


def pins(**changes: Any) -> ReferenceValues:
    values: dict[str, Any] = {"base_images": (image(),), "compose": (b"\xcc" * 32,), "kms_roots": (SPKI,)}
    return ReferenceValues(**(values | changes))


def policy(**changes: Any) -> Policy:
    values: dict[str, Any] = {
        "name": "sample",
        "provider": "near",
        "valid_until": date(2026, 12, 31),
        "tcb": TcbPolicy(min_eval_number=19),
        "pins": {"model": pins()},
    }
    return Policy(**(values | changes))


TEXT = f"""
name = "sample"
provider = "near"
valid_until = 2026-12-31

[tcb]
accept = ["UpToDate", "SWHardeningNeeded"]
allow_advisories = ["INTEL-SA-01036"]
min_eval_number = 19
grace_days = 7

[gpu]
require = true
min_count = 8
arch = ["HOPPER", "BLACKWELL"]
nras = "when_present"

[instances]
mode = "any"

[pins.model]
base_images = [
  {{label = "one", mrtd = "{"a1" * 48}", rtmr0 = "{"a2" * 48}", rtmr1 = "{"a3" * 48}", rtmr2 = "{"a4" * 48}"}},
  {{label = "two", mrtd = "{"b1" * 48}", rtmr0 = "{"b2" * 48}", rtmr1 = "{"b3" * 48}", rtmr2 = "{"b4" * 48}"}},
]
mr_seam = ["{"01" * 48}", "{"02" * 48}"]
app_ids = ["{"03" * 20}"]
compose = ["{"04" * 32}"]
kms_roots = ["{SPKI.hex()}"]
os_images = ["{"05" * 32}"]
signing_keys = ["{"06" * 20}", "{"07" * 32}", "{"08" * 64}"]
tls_spki = ["{"09" * 32}"]
custody_roots = ["{"02" * 33}"]

[pins.enclave]
pcrs = [{{pcr0 = "{"0a" * 48}", pcr1 = "{"0b" * 48}"}}]

[[waive]]
check = "channel.tls_spki"
role = "model"
reason = "the key was not recorded"
expires = 2026-09-30

[[waive]]
check = "gpu.nras_token"
reason = "NVIDIA is not asked"
"""

REORDERED = f"""
provider = "near"
valid_until = 2026-12-31
name = "sample"

[[waive]]
reason = "NVIDIA is not asked"
check = "gpu.nras_token"

[[waive]]
expires = 2026-09-30
reason = "the key was not recorded"
role = "model"
check = "channel.tls_spki"

[pins.enclave]
pcrs = [{{pcr1 = "{"0B" * 48}", pcr0 = "{"0A" * 48}"}}]

[pins.model]
custody_roots = ["{"02" * 33}"]
tls_spki = ["{"09" * 32}"]
signing_keys = ["{"08" * 64}", "{"07" * 32}", "{"06" * 20}"]
os_images = ["{"05" * 32}"]
kms_roots = ["{SPKI.hex().upper()}"]
compose = ["{"04" * 32}"]
app_ids = ["{"03" * 20}"]
mr_seam = ["{"02" * 48}", "{"01" * 48}"]
base_images = [
  {{mrtd = "{"B1" * 48}", rtmr0 = "{"b2" * 48}", rtmr1 = "{"b3" * 48}", rtmr2 = "{"b4" * 48}", label = "two"}},
  {{mrtd = "{"a1" * 48}", rtmr0 = "{"a2" * 48}", rtmr1 = "{"a3" * 48}", rtmr2 = "{"a4" * 48}", label = "one"}},
]

[instances]
mode = "any"

[gpu]
nras = "when_present"
arch = ["BLACKWELL", "HOPPER"]
min_count = 8
require = true

[tcb]
grace_days = 7
min_eval_number = 19
allow_advisories = ["INTEL-SA-01036"]
accept = ["SWHardeningNeeded", "UpToDate"]
"""
"""`TEXT` with everything that has no order in another order, and hex in upper case."""


def captured_policies() -> list[Path]:
    """The policies of the captures folder; empty where there is none."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "captures"
    folder = Path(os.environ.get("TEEVERIFY_CAPTURES") or beside) / "policies"
    return sorted(folder.glob("*.toml"))


def _unique(strategy: st.SearchStrategy[Any], *, low: int = 1, high: int = 3, by: Any = None) -> Any:
    return st.lists(strategy, min_size=low, max_size=high, unique_by=by or (lambda value: value)).map(tuple)


def octets(size: int) -> st.SearchStrategy[bytes]:
    # Few distinct values, so that two policies often share some.
    return st.integers(0, 3).map(lambda byte: bytes([byte]) * size)


def text(limit: int = 30) -> st.SearchStrategy[str]:
    return st.text(min_size=1, max_size=limit).filter(lambda value: value.isprintable() and bool(value.strip()))


def tables() -> st.SearchStrategy[dict[str, bytes]]:
    return st.dictionaries(st.sampled_from(["pcr0", "pcr1", "pcr8"]), octets(48), min_size=1)


def images() -> st.SearchStrategy[BaseImage]:
    registers = {name: octets(48) for name in ("mrtd", "rtmr0", "rtmr1", "rtmr2")}
    return st.builds(BaseImage, label=text(), rtmr3=st.none() | octets(48), **registers)


def reference_values() -> st.SearchStrategy[ReferenceValues]:
    return st.builds(
        ReferenceValues,
        base_images=st.none() | _unique(images(), by=lambda value: value.registers),
        mr_seam=st.none() | _unique(octets(48)),
        app_ids=st.none() | _unique(octets(20)),
        compose=_unique(octets(32)),
        kms_roots=st.none() | st.just((SPKI,)),
        os_images=st.none() | _unique(octets(32)),
        signing_keys=st.none() | _unique(octets(20) | octets(32) | octets(64)),
        tls_spki=st.none() | _unique(octets(32)),
        custody_roots=st.none() | _unique(octets(32).map(lambda x: b"\x03" + x)),
        pcrs=st.none() | _unique(tables(), by=lambda value: frozenset(value.items())),
    )


def waivers() -> st.SearchStrategy[Waiver]:
    return st.builds(
        Waiver,
        check=st.sampled_from(WAIVABLE[:4]),
        reason=text(),
        role=st.none() | st.sampled_from(ROLES),
        expires=st.none() | st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    )


def policies() -> st.SearchStrategy[Policy]:
    return st.builds(
        Policy,
        name=text(),
        provider=st.sampled_from(["near", "chutes"]),
        valid_until=st.dates(),
        tcb=st.builds(
            TcbPolicy,
            accept=_unique(st.sampled_from(TCB_STATUSES)),
            allow_advisories=_unique(st.from_regex(r"INTEL-SA-0000[0-3]", fullmatch=True), low=0),
            min_eval_number=st.integers(0, 30),
            grace_days=st.integers(0, 365),
        ),
        gpu=st.builds(
            GpuPolicy,
            require=st.booleans(),
            min_count=st.integers(1, 8),
            arch=_unique(st.sampled_from(GPU_ARCHITECTURES)),
            nras=st.sampled_from(NRAS_MODES),
        ),
        instances=st.sampled_from(INSTANCE_MODES),
        pins=st.dictionaries(st.sampled_from(ROLES), reference_values(), min_size=1, max_size=3),
        waivers=_unique(waivers(), low=0, by=lambda value: (value.check, value.role)),
    )
