"""Judge attestation evidence of confidential-inference providers, in your own process.

```python
from teeverify import NearVerifier, Policy, SavedReport

verifier = NearVerifier(Policy.load("near.toml"))
verdict = verifier.verify_saved(SavedReport.load("saved.json")).require()
```

Names are loaded on first use (PEP 562): importing the package loads none of the third-party libraries.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # type checkers read it as True; importing typing would cost more than all the rest
if TYPE_CHECKING:
    from .errors import (
        ConfigurationError,
        FormatError,
        InconclusiveError,
        InputError,
        NotRecordedError,
        PolicyError,
        RejectedError,
        SavedReportError,
        TeeverifyError,
        TransportError,
        UnknownCheckError,
        UnknownProviderError,
        VerificationError,
    )
    from .policy import BaseImage, GpuPolicy, Policy, ReferenceValues, TcbPolicy, Waiver
    from .providers.near import NearVerifier
    from .roots import TrustRoots
    from .saved import SavedReport
    from .transport import ReplayTransport
    from .verdict import AttestationVerdict, AttestedKey, CheckResult, Outcome, Status, SubjectVerdict
    from .verifier import ConfidentialVerifier, Verifier, VerifierRegistry, verifier_for

    __version__: str

__all__ = [
    "AttestationVerdict",
    "AttestedKey",
    "BaseImage",
    "CheckResult",
    "ConfidentialVerifier",
    "ConfigurationError",
    "FormatError",
    "GpuPolicy",
    "InconclusiveError",
    "InputError",
    "NearVerifier",
    "NotRecordedError",
    "Outcome",
    "Policy",
    "PolicyError",
    "ReferenceValues",
    "RejectedError",
    "ReplayTransport",
    "SavedReport",
    "SavedReportError",
    "Status",
    "SubjectVerdict",
    "TcbPolicy",
    "TeeverifyError",
    "TransportError",
    "TrustRoots",
    "UnknownCheckError",
    "UnknownProviderError",
    "VerificationError",
    "Verifier",
    "VerifierRegistry",
    "Waiver",
    "__version__",
    "verifier_for",
]

_ERRORS = (
    "ConfigurationError FormatError InconclusiveError InputError NotRecordedError PolicyError RejectedError "
    "SavedReportError TeeverifyError TransportError UnknownCheckError UnknownProviderError VerificationError"
)
_HOMES = {
    **dict.fromkeys(_ERRORS.split(), "errors"),
    **dict.fromkeys(["BaseImage", "GpuPolicy", "Policy", "ReferenceValues", "TcbPolicy", "Waiver"], "policy"),
    **dict.fromkeys(
        ["AttestationVerdict", "AttestedKey", "CheckResult", "Outcome", "Status", "SubjectVerdict"], "verdict"
    ),
    **dict.fromkeys(["ConfidentialVerifier", "Verifier", "VerifierRegistry", "verifier_for"], "verifier"),
    "NearVerifier": "providers.near",
    "ReplayTransport": "transport",
    "SavedReport": "saved",
    "TrustRoots": "roots",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("teeverify")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
