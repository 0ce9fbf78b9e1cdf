"""The test roots, as files for `TrustRoots.from_directory` and as the value itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

from teeverify.roots import TrustRoots

from .intel import IntelPki
from .keys import DEFAULT_SEED, KeyRing
from .nitro import NitroPki
from .nras import nras_intermediate
from .nvidia import NvidiaPki

__all__ = ["root_files", "trust_roots", "write_roots"]


def root_files(seed: str = DEFAULT_SEED) -> dict[str, str]:
    """File name and PEM text of the four anchors."""
    keys = KeyRing(seed)
    return {
        "intel-root.pem": IntelPki(keys).root.pem,
        "nvidia-root.pem": NvidiaPki(keys).root.pem,
        "nras-intermediate.pem": nras_intermediate(keys).pem,
        "aws-root.pem": NitroPki(keys).root.pem,
    }


def write_roots(directory: str | Path, seed: str = DEFAULT_SEED) -> None:
    """Write the four anchors into a directory, which is made if it is not there."""
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    for file_name, text in root_files(seed).items():
        (target / file_name).write_bytes(text.encode())


def trust_roots(seed: str = DEFAULT_SEED) -> TrustRoots:
    """The anchors under which evidence of that seed verifies; `TrustRoots.test` is True."""
    keys = KeyRing(seed)
    intel = IntelPki(keys).root.der
    return TrustRoots(
        intel_root=intel,
        intel_root_sha256=hashlib.sha256(intel).digest(),
        nvidia_root_sha256=hashlib.sha256(NvidiaPki(keys).root.der).digest(),
        nras_intermediates=(hashlib.sha256(nras_intermediate(keys).spki).digest(),),
        aws_root_sha256=hashlib.sha256(NitroPki(keys).root.der).digest(),
        test=True,
    )
