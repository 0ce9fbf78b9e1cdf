"""Named faults of what RedPill, NanoGPT, Venice and vllm-proxies show, each with the checks that must find it.

The machines and instances behind a front are those of NEAR and Chutes, so their defects are used where they show; the
other modules hold what is particular to the form of a vllm-proxy's report.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .guests import guest_defects
from .instances import instance_defects
from .machines import machine_defects
from .model import FrontDefect
from .quotes import quote_defects
from .shapes import shape_defects

__all__ = ["FRONT_DEFECTS", "FrontDefect", "front_defects"]

FRONT_DEFECTS: Final[tuple[FrontDefect, ...]] = (
    *machine_defects(),
    *quote_defects(),
    *guest_defects(),
    *instance_defects(),
    *shape_defects(),
)
"""All of them, of every provider and shape."""


def front_defects(provider: str, shape: str, defects: Iterable[FrontDefect] = FRONT_DEFECTS) -> dict[str, FrontDefect]:
    """Those of one provider in one shape, by name.

    Raises:
        ValueError: two of them have the same name.
    """
    found: dict[str, FrontDefect] = {}
    for defect in defects:
        if provider in defect.providers and shape == defect.shape:
            if defect.name in found:
                raise ValueError(f"two defects of {provider} are called {defect.name}")
            found[defect.name] = defect
    return found
