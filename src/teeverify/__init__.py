"""Judge attestation evidence of confidential-inference providers, in your own process.

```python
from teeverify import NearVerifier, Policy

verifier = NearVerifier(Policy.load("near.toml"), api_key=key)
verdict = verifier.verify_attestation("Qwen/Qwen3.5-122B-A10B").require()
```

Names are loaded on first use (PEP 562): importing the package loads none of the third-party libraries.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # type checkers read it as True; importing typing would cost more than all the rest
if TYPE_CHECKING:
    from .aio import AsyncVerifier
    from .cache import VerdictCache
    from .endorsement_cache import EndorsementCache
    from .errors import (
        AnswerTooLongError,
        ConfigurationError,
        FormatError,
        InconclusiveError,
        InputError,
        KeyMismatchError,
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
    from .exchange import Exchange
    from .flow import Request, Response, Transport
    from .policy import (
        AcpiTables,
        BaseImage,
        ComposeFlags,
        ExchangePolicy,
        GpuPolicy,
        Policy,
        ReferenceValues,
        RegistryPolicy,
        TcbPolicy,
        Waiver,
    )
    from .protocol import ConfidentialVerifier
    from .providers.aci import AciVerifier
    from .providers.chutes import ChutesVerifier
    from .providers.chutes_chain import ChutesChainVerifier
    from .providers.dstack_app import DstackVerifier
    from .providers.nanogpt import NanoGptVerifier
    from .providers.near import NearVerifier
    from .providers.opengradient import OpenGradientVerifier
    from .providers.phala import PhalaVerifier
    from .providers.venice import VeniceVerifier
    from .providers.vllm_proxy import VllmProxyVerifier
    from .registry import VerifierRegistry, register_verifier, verifier_for
    from .requests_transport import RequestsTransport
    from .roots import TrustRoots
    from .saved import SavedReport
    from .tls import pinned_context
    from .transport import MockTransport, RecordingTransport, ReplayTransport
    from .verdict import AttestationVerdict, AttestedKey, CheckResult, Outcome, Status, SubjectVerdict, VerifiedExchange
    from .verifier import Verifier

    __version__: str

__all__ = [
    "AciVerifier",
    "AcpiTables",
    "AnswerTooLongError",
    "AsyncVerifier",
    "AttestationVerdict",
    "AttestedKey",
    "BaseImage",
    "CheckResult",
    "ChutesChainVerifier",
    "ChutesVerifier",
    "ComposeFlags",
    "ConfidentialVerifier",
    "ConfigurationError",
    "DstackVerifier",
    "EndorsementCache",
    "Exchange",
    "ExchangePolicy",
    "FormatError",
    "GpuPolicy",
    "InconclusiveError",
    "InputError",
    "KeyMismatchError",
    "MockTransport",
    "NanoGptVerifier",
    "NearVerifier",
    "NotRecordedError",
    "OpenGradientVerifier",
    "Outcome",
    "PhalaVerifier",
    "Policy",
    "PolicyError",
    "RecordingTransport",
    "ReferenceValues",
    "RegistryPolicy",
    "RejectedError",
    "ReplayTransport",
    "Request",
    "RequestsTransport",
    "Response",
    "SavedReport",
    "SavedReportError",
    "Status",
    "SubjectVerdict",
    "TcbPolicy",
    "TeeverifyError",
    "Transport",
    "TransportError",
    "TrustRoots",
    "UnknownCheckError",
    "UnknownProviderError",
    "VeniceVerifier",
    "VerdictCache",
    "VerificationError",
    "VerifiedExchange",
    "Verifier",
    "VerifierRegistry",
    "VllmProxyVerifier",
    "Waiver",
    "__version__",
    "pinned_context",
    "register_verifier",
    "verifier_for",
]

_BY_HOME = {
    "errors": (
        "AnswerTooLongError ConfigurationError FormatError InconclusiveError InputError KeyMismatchError "
        "NotRecordedError PolicyError RejectedError SavedReportError TeeverifyError TransportError UnknownCheckError "
        "UnknownProviderError VerificationError"
    ),
    "policy": (
        "AcpiTables BaseImage ComposeFlags ExchangePolicy GpuPolicy Policy ReferenceValues RegistryPolicy TcbPolicy "
        "Waiver"
    ),
    "verdict": "AttestationVerdict AttestedKey CheckResult Outcome Status SubjectVerdict VerifiedExchange",
    "registry": "VerifierRegistry register_verifier verifier_for",
    "transport": "MockTransport RecordingTransport ReplayTransport",
    "flow": "Request Response Transport",
    "aio": "AsyncVerifier",
    "cache": "VerdictCache",
    "endorsement_cache": "EndorsementCache",
    "exchange": "Exchange",
    "protocol": "ConfidentialVerifier",
    "providers.aci": "AciVerifier",
    "providers.chutes": "ChutesVerifier",
    "providers.chutes_chain": "ChutesChainVerifier",
    "providers.dstack_app": "DstackVerifier",
    "providers.nanogpt": "NanoGptVerifier",
    "providers.near": "NearVerifier",
    "providers.opengradient": "OpenGradientVerifier",
    "providers.phala": "PhalaVerifier",
    "providers.venice": "VeniceVerifier",
    "providers.vllm_proxy": "VllmProxyVerifier",
    "requests_transport": "RequestsTransport",
    "roots": "TrustRoots",
    "saved": "SavedReport",
    "tls": "pinned_context",
    "verifier": "Verifier",
}
_HOMES = {name: home for home, names in _BY_HOME.items() for name in names.split()}


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
