"""Policies of simulated OpenGradient sessions, as TOML text."""

from __future__ import annotations

from collections.abc import Sequence

from .opengradient import OpenGradientSession
from .opengradient_chain import CHAIN_ID, CONTRACT

__all__ = ["opengradient_policy"]


def opengradient_policy(
    session: OpenGradientSession,
    *,
    name: str = "opengradient-test",
    assurance: str = "attested",
    contract: bool = True,
    quorum: int | None = None,
    pcrs: bool | None = None,
    signing_keys: Sequence[str] = (),
    waive: Sequence[str] = (),
    valid_until: str = "2036-01-01",
) -> str:
    """The policy of a session, in the form of a policy file.

    Args:
        session: what to pin.
        name: the policy's name.
        assurance: the level: "attested", "registry+pcr" or "registry".
        contract: whether the contract is pinned, which only "attested" can do without.
        quorum: how many nodes have to agree; all of the session's by default.
        pcrs: whether the image is pinned; by default where the level needs that.
        signing_keys: ids of enclaves (hex) that are pinned.
        waive: ids of checks.
        valid_until: the policy's last day.
    """
    lines = [
        "# Pins what the simulated session shows. TEST ONLY: it describes no machine that exists.",
        f'name = "{name}"',
        'provider = "opengradient"',
        f"valid_until = {valid_until}",
        "",
        "[registry]",
        f'assurance = "{assurance}"',
    ]
    if contract:
        agreeing = max(1, len(session.nodes)) if quorum is None else quorum
        lines += [f'address = "{CONTRACT}"', f"chain_id = {CHAIN_ID}", f"quorum = {agreeing}"]
    pinned = []
    if (assurance != "registry") if pcrs is None else pcrs:
        table = ", ".join(f'{register} = "{value.hex()}"' for register, value in session.enclave.pinned_pcrs.items())
        pinned.append(f"pcrs = [{{{table}}}]")
    if signing_keys:
        pinned.append(f"signing_keys = [{', '.join(f'{chr(34)}{key}{chr(34)}' for key in signing_keys)}]")
    if pinned:
        lines += ["", "[pins.enclave]", *pinned]
    for check in waive:
        lines += ["", "[[waive]]", f'check = "{check}"', 'reason = "a test waives it"', f"expires = {valid_until}"]
    return "\n".join(lines) + "\n"
