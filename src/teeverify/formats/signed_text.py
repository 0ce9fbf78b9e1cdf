"""The text that an inference proxy signs for one request and response.

nearai/inference-proxy signs ``model:sha256(request):sha256(response)``, the older vllm-proxy and gateways sign
``sha256(request):sha256(response)``; digests are 64 lower-case hex digits. A model's name may hold colons, so the text
is read from the right.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from ..errors import FormatError

__all__ = ["SignedText", "parse_signed_text"]

_TEXT: Final = re.compile(r"(?:(.{1,512}):)?([0-9a-f]{64}):([0-9a-f]{64})\Z", re.DOTALL)
_LIMIT: Final = 1024
"""Characters of a signed text; 131 to 250 are usual."""


@frozen(kw_only=True)
class SignedText:
    """A signed text taken apart; ``model`` is None in the form without a model. Digests are 32 bytes."""

    model: str | None
    request_digest: bytes
    response_digest: bytes

    @property
    def text(self) -> str:
        """The text again, exactly as it was."""
        digests = f"{self.request_digest.hex()}:{self.response_digest.hex()}"
        return digests if self.model is None else f"{self.model}:{digests}"


def parse_signed_text(text: object) -> SignedText:
    """Take a signed text apart.

    Raises:
        FormatError: ``signed_text`` when it has neither form.
    """
    match = _TEXT.match(text) if isinstance(text, str) and len(text) <= _LIMIT else None
    if match is None:
        raise FormatError("signed_text", "the signed text is not [model:]sha256:sha256 in lower-case hex")
    model, request, response = match.groups()
    return SignedText(model=model, request_digest=bytes.fromhex(request), response_digest=bytes.fromhex(response))
