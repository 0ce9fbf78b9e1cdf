"""The strict policy that pins exactly what a simulated session with a proxy before Chutes shows, as TOML text."""

from __future__ import annotations

from .chain import ChainSession
from .chutes_policy import chutes_policy

__all__ = ["chain_policy"]


def chain_policy(
    session: ChainSession, *, name: str = "chain-test", mode: str | None = None, nras: str = "required"
) -> str:
    """The policy of a session, in the form of a policy file.

    The proxy is pinned as role gateway, and the instances in every mode, so that one policy serves both.

    Args:
        session: what to pin.
        name: the policy's name.
        mode: "all", "any" or "delegated"; the last one unless given where the session shows a receipt, else "all".
        nras: what is asked of NVIDIA's answer: "required", "when_present" or "ignore".
    """
    mode = mode or ("delegated" if session.mode == "proxy" else "all")
    text = chutes_policy(session.behind, name=name, mode=mode, nras=nras)
    text = text.replace(f'provider = "{session.behind.provider}"', 'provider = "chutes-chain"', 1)
    boot = session.proxy.boot
    registers = zip(("mrtd", "rtmr0", "rtmr1", "rtmr2"), (boot.image.mr_td, *boot.registers()[:3]), strict=True)
    image = ", ".join(f'{register} = "{value.hex()}"' for register, value in registers)
    pins = [
        "",
        "[pins.gateway]",
        f'base_images = [{{label = "{name} proxy", {image}}}]',
        f'mr_seam = ["{boot.image.mr_seam.hex()}"]',
        f'app_ids = ["{boot.app_id.hex()}"]',
        f'compose = ["{boot.compose_hash.hex()}"]',
        f'kms_roots = ["{boot.kms.spki.hex()}"]',
        f'os_images = ["{boot.image.os_image_hash.hex()}"]',
    ]
    return text + "\n".join(pins) + "\n"
