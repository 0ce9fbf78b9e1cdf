"""Trust anchors: the vendors' roots that a pass rests on, and explicit test roots in their place.

Production anchors are pinned here by digest; nothing in a report, an answer or a policy can add one. Test roots are
accepted only when the caller asks for them by name, and every verdict under them says so.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from .errors import ConfigurationError, FormatError

if TYPE_CHECKING:
    from .crypto.certificates import Certificate

__all__ = ["PRODUCTION_ROOTS", "TrustRoots"]


@frozen(kw_only=True)
class TrustRoots:
    """The anchors of one verifier.

    ``intel_root`` is the DER of the root CA to verify TDX quotes under, or None for the Intel SGX Root CA;
    ``intel_root_sha256`` is the SHA-256 of that DER (32 bytes). ``nvidia_root_sha256`` is the SHA-256 of the DER of the
    device identity CA. ``nras_intermediates`` are SHA-256 digests of the SubjectPublicKeyInfo of the CAs that may issue
    NVIDIA's token-signing keys. ``aws_root_sha256`` is the SHA-256 of the DER of the root CA of Nitro enclaves.
    ``test`` is True for anything but the vendors' own roots.
    """

    intel_root: bytes | None
    intel_root_sha256: bytes
    nvidia_root_sha256: bytes
    nras_intermediates: tuple[bytes, ...]
    aws_root_sha256: bytes
    test: bool

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over all anchors: equal for equal anchors."""
        fixed = (self.intel_root_sha256, self.nvidia_root_sha256, self.aws_root_sha256)
        anchors = (*fixed, *sorted(self.nras_intermediates))
        return hashlib.sha256(b"".join(anchors) + bytes([self.test])).hexdigest()

    @classmethod
    def from_directory(cls, directory: str | Path) -> TrustRoots:
        """Test roots out of a directory.

        The files are ``intel-root.pem``, ``nvidia-root.pem``, ``nras-intermediate.pem`` and ``aws-root.pem``.

        Raises:
            ConfigurationError: a file is missing or is not exactly one PEM certificate.
        """
        from .crypto.certificates import sha256_of_certificate, sha256_of_spki

        folder = Path(directory)
        intel, nvidia = _load_root(folder / "intel-root.pem"), _load_root(folder / "nvidia-root.pem")
        nras, aws = _load_root(folder / "nras-intermediate.pem"), _load_root(folder / "aws-root.pem")
        return cls(
            intel_root=intel.der,
            intel_root_sha256=sha256_of_certificate(intel),
            nvidia_root_sha256=sha256_of_certificate(nvidia),
            nras_intermediates=(sha256_of_spki(nras),),
            aws_root_sha256=sha256_of_certificate(aws),
            test=True,
        )


def _load_root(path: Path) -> Certificate:
    from .crypto.certificates import load_pem_chain

    try:
        chain = load_pem_chain(path.read_bytes(), what=f"test root {path.name}")
    except OSError as error:
        raise ConfigurationError(f"test root {path} cannot be read: {error.strerror}") from None
    except FormatError as error:
        raise ConfigurationError(f"test root {path} is not a certificate: {error}") from None
    if len(chain) != 1:
        raise ConfigurationError(f"test root {path} holds {len(chain)} certificates, exactly one was expected")
    return chain[0]


PRODUCTION_ROOTS: Final = TrustRoots(
    intel_root=None,
    # CN=Intel SGX Root CA, valid 2018-05-21 to 2049-12-31, serial 22650cd6...; certificates.trustedservices.intel.com
    intel_root_sha256=bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"),
    # CN=NVIDIA Device Identity CA, P-384, valid 2021-11-05 to 9999-12-31
    nvidia_root_sha256=bytes.fromhex("102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"),
    # CN=NVIDIA Attestation Service GPU Intermediate 004, RSA-2048, valid 2025-12-08 to 2029-12-08. Its public key is
    # pinned, since the root above it is published nowhere and is not in NVIDIA's key set.
    nras_intermediates=(bytes.fromhex("fd32837f954e2c45db073105166dfe6985ae0480bb113fba63b091a75affe896"),),
    # CN=aws.nitro-enclaves, P-384, valid 2019-10-28 to 2049-10-28; AWS, "Verifying the root of trust"
    aws_root_sha256=bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"),
    test=False,
)
"""The vendors' own roots."""
