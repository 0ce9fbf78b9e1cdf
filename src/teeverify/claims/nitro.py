"""Claims about the attestation document of an AWS Nitro enclave."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from ..formats.nitro_document import NitroDocument
from .problem import Problem

__all__ = ["NitroChain", "NitroClaims"]


@frozen(kw_only=True)
class NitroChain:
    """When all certificates of a document are valid at once (aware UTC times, both inclusive)."""

    not_before: datetime
    not_after: datetime


@frozen(kw_only=True)
class NitroClaims:
    """A document, and what cryptography says of it.

    ``trust`` is None where the document's certificates lead to the pinned root at the time of the verdict;
    ``signature`` is None where the key of the document's certificate signed it. Otherwise each is a `Problem`: INVALID,
    or that of the bytes they need. Only both together make the document AWS's.

    ``tls_certificate_sha256`` and ``signing_key_sha256`` (32 bytes each) are what the enclave's user data must name:
    the SHA-256 of the DER of the TLS certificate at which the connection ends, and of the DER SubjectPublicKeyInfo of
    the key that signs responses. They come from beside the document. None means that nobody knows what to expect.
    """

    document: NitroDocument | Problem
    chain: NitroChain | Problem
    trust: Problem | None
    signature: Problem | None
    tls_certificate_sha256: bytes | Problem | None = None
    signing_key_sha256: bytes | Problem | None = None

    @property
    def genuine_document(self) -> NitroDocument | None:
        """The document where the pinned root vouches for every byte of its payload, else None."""
        if isinstance(self.document, Problem) or self.trust is not None or self.signature is not None:
            return None
        return self.document
