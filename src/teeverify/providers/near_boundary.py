"""The trust boundary of a NEAR verdict in words, made of enforced checks that passed and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from ..verdict import SubjectVerdict

__all__ = ["boundary_in_words"]

_SOFTWARE = ("tdx.quote_signature", "policy.pinned", "pin.base_image", "pin.compose", "dstack.compose_event")
_GPU = ("gpu.present", "gpu.cert_chain", "gpu.evidence_signature", "gpu.nonce_bound", "gpu.distinct_devices")
_NAMES = {"gateway": "the gateway", "model": "the model machine", "compose_manager": "the compose-manager's machine"}


def boundary_in_words(judged: Sequence[SubjectVerdict]) -> str:
    """Who runs pinned software, where the connection ends, and what the GPUs showed."""
    if not judged:
        return "Nothing was judged."
    clauses = [_software(verdict) for verdict in judged]
    front = next((verdict for verdict in judged if verdict.role == "gateway"), judged[0])
    if front.holds("channel.tls_spki"):
        clauses.append(f"the connection ends inside {_named(front)}")
    else:
        clauses.append("nothing shows where the connection ends, so anybody in between can read and answer")
    clauses += [_gpus(verdict) for verdict in judged if verdict.role == "model"]
    if front.role == "gateway":
        clauses.append("the gateway sees prompts in the clear unless they are encrypted to the model's key")
    text = "; ".join(dict.fromkeys(clauses))
    return f"{text[0].upper()}{text[1:]}."


def _software(verdict: SubjectVerdict) -> str:
    name = _named(verdict)
    if verdict.holds(*_SOFTWARE):
        return f"{name} (Intel TDX) runs the pinned guest image and compose document"
    return f"what software {name} runs is not enforced"


def _gpus(verdict: SubjectVerdict) -> str:
    if not verdict.holds(*_GPU):
        return "GPUs are not enforced"
    if verdict.holds("gpu.nras_token", "gpu.nras_result"):
        return "genuine NVIDIA GPUs answered the same challenge, and NVIDIA's service finds their firmware good"
    return "genuine NVIDIA GPUs answered the same challenge, and nobody judged their firmware"


def _named(verdict: SubjectVerdict) -> str:
    return _NAMES.get(verdict.role, f"role {verdict.role}")
