"""The exceptions of teeverify.

```
TeeverifyError
 ├── ConfigurationError        the caller asked for something that cannot be (the only family a verify call raises)
 │    ├── PolicyError              a policy that cannot be built: unknown key, wrong length, empty pin set ...
 │    ├── UnknownProviderError     no verifier is registered under that name
 │    └── UnknownCheckError        no check has that id
 ├── InputError                a file or document that is not what it should be
 │    ├── FormatError              bytes that do not have their format; carries a reason code
 │    └── SavedReportError         a saved report that cannot be read
 ├── TransportError            the answer could not be had (never evidence of anything)
 │    ├── NotRecordedError         a replayed report holds no answer to the request
 │    ├── AnswerTooLongError       an answer is longer than what is accepted
 │    └── KeyMismatchError         a pinned server showed another TLS key; nothing was sent to it
 └── VerificationError         raised by ``verdict.require()``; carries the verdict
      ├── RejectedError            the evidence is bad, or not what the policy pins
      └── InconclusiveError        an enforced check could not be evaluated
```

Every message is one sentence: what was observed, what was expected, what to do. None holds a prompt, a response or a
key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .verdict import AttestationVerdict, VerifiedExchange

__all__ = [
    "AnswerTooLongError",
    "ConfigurationError",
    "FormatError",
    "InconclusiveError",
    "InputError",
    "KeyMismatchError",
    "NotRecordedError",
    "PolicyError",
    "RejectedError",
    "SavedReportError",
    "TeeverifyError",
    "TransportError",
    "UnknownCheckError",
    "UnknownProviderError",
    "VerificationError",
]


class TeeverifyError(Exception):
    """Root of all exceptions that teeverify raises on purpose."""


class ConfigurationError(TeeverifyError):
    """The caller's own request cannot be carried out."""


class PolicyError(ConfigurationError):
    """A policy that cannot be built; the message names the key."""


class UnknownProviderError(ConfigurationError):
    """No verifier is registered under that provider name."""


class UnknownCheckError(ConfigurationError):
    """No check has that id."""


class InputError(TeeverifyError):
    """A file or document is not what it should be."""


class FormatError(InputError):
    """Bytes that do not have their format.

    ``code`` is a stable snake_case reason; the message is a sentence that says what was found and what was expected.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class SavedReportError(InputError):
    """A saved report that cannot be read."""


class TransportError(TeeverifyError):
    """An answer could not be had; this says nothing about the evidence."""


class NotRecordedError(TransportError):
    """A replayed report holds no answer to the request."""


class AnswerTooLongError(TransportError):
    """An answer is longer than the request allows."""


class KeyMismatchError(TransportError):
    """A server showed another TLS key than the attested one; no byte of a request was sent to it."""


class VerificationError(TeeverifyError):
    """The verdict is not VERIFIED; ``verdict`` says why."""

    def __init__(self, verdict: AttestationVerdict | VerifiedExchange) -> None:
        super().__init__(verdict.conclusion)
        self.verdict = verdict


class RejectedError(VerificationError):
    """The evidence is bad, or is not what the policy pins."""


class InconclusiveError(VerificationError):
    """An enforced check could not be evaluated, so nothing is proven."""
