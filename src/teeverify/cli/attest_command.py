"""``teeverify attest``: challenge a live provider and judge what it answers."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError
from .connecting import add_connecting_options, chosen_transport
from .judging import add_judging_options, chosen_policy, chosen_roots, exit_code, refuse_expired_waivers, rendered

if TYPE_CHECKING:
    from ..saved import SavedReport
    from ..verifier import Verifier

__all__ = ["add_parsers", "run"]

KEY_VARIABLE = "TEEVERIFY_API_KEY"

_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "near": ("route", "algorithm", "backends"),
    "chutes": ("chute",),
    "chutes-chain": ("url", "mode", "algorithm"),
    "phala": ("algorithm",),
    "vllm-proxy": ("url", "algorithm", "tls_bound"),
    "aci": ("url",),
    "opengradient": ("nodes", "enclave", "tee_id"),
}
"""The options that only some providers have."""
_ALL_OPTIONS: Final = tuple(dict.fromkeys(name for names in _OPTIONS.values() for name in names))
_SPELLED: Final = {"tls_bound": "--tls-bound", "nodes": "--node", "tee_id": "--tee-id"}
"""Options that are spelled in another way than their names."""


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``attest``."""
    attest = commands.add_parser(
        "attest",
        help="challenge a live provider",
        description="Challenge a provider with a fresh nonce, judge what it answers, and say so. Nothing but the "
        f"challenge is sent. The API key, where one is needed, is read from {KEY_VARIABLE}; only the provider gets it.",
    )
    attest.add_argument("provider", metavar="PROVIDER", help="near, chutes, phala, vllm-proxy, opengradient ...")
    attest.add_argument("model", metavar="MODEL", help="canonical name of the model; of a router, any name")
    route = attest.add_mutually_exclusive_group()
    route.add_argument("--cloud", dest="route", action="store_const", const="cloud", help="through the gateway")
    route.add_argument("--direct", dest="route", action="store_const", const="direct", help="the model's own host")
    attest.add_argument("--algorithm", choices=("ed25519", "ecdsa"), help="of the signing keys")
    attest.add_argument(
        "--chute", metavar="UUID", help="the chute, in place of the one that Chutes names for the model"
    )
    attest.add_argument("--url", metavar="URL", help="base URL of a proxy, such as https://my-cvm.example/v1")
    attest.add_argument(
        "--mode",
        choices=("passthrough", "proxy"),
        help="of the chain API: the instances' own evidence (default), or the proxy's receipt for it",
    )
    attest.add_argument(
        "--tls-bound", action="store_true", help="of a vllm-proxy: the form of the quote that names the TLS key"
    )
    attest.add_argument(
        "--node", dest="nodes", action="append", metavar="URL", help="a JSON-RPC node that is asked about the contract"
    )
    attest.add_argument("--enclave", metavar="URL", help="the enclave, in place of the one that the contract lists")
    attest.add_argument("--tee-id", metavar="HEX", help="id of the enclave, where the contract lists several")
    attest.add_argument("--nonce", metavar="HEX", help="the challenge, 64 hex digits (default: random)")
    attest.add_argument("--save", metavar="OUT.json", help="write the session as a saved report, whatever its outcome")
    attest.add_argument("--backends", action="store_true", help="judge every machine behind a model's host (--direct)")
    add_connecting_options(attest)
    add_judging_options(attest)
    attest.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Challenge, judge and print; returns the exit code of the outcome (with --backends, of the worst)."""
    from datetime import datetime, timezone

    from ..formats.encodings import decode_hex
    from ..providers.near import NearVerifier
    from ..registry import verifier_for

    kind = verifier_for(args.provider)
    options = _options(args, kind)
    if args.backends and args.json:
        raise ConfigurationError("--json prints one verdict and --backends asks for several: leave one out")
    nonce = None if args.nonce is None else decode_hex(args.nonce, what="--nonce", size=32)
    policy = chosen_policy(args.policy, args.provider)
    refuse_expired_waivers(policy, datetime.now(timezone.utc))
    with chosen_transport(args) as transport:
        verifier = kind(
            policy,
            roots=chosen_roots(args.test_roots),
            transport=transport,
            api_key=os.environ.get(KEY_VARIABLE) or None,
            **options,
        )
        verifiers = [verifier]
        if args.backends and isinstance(verifier, NearVerifier):
            verifiers = [verifier.at_host(host) for host in verifier.backends(args.model)]
            if not verifiers:
                raise ConfigurationError(
                    "the provider does not say which machines serve the model: leave --backends out"
                )
        verdicts = [one.verify_attestation(args.model, nonce=nonce) for one in verifiers]
    for one, verdict in zip(verifiers, verdicts, strict=True):
        if args.backends:
            print(f"{one.origin}:")
        print(rendered(verdict, args))
    if args.save is not None:
        _save(args.save, [verdict.evidence for verdict in verdicts])
    return exit_code(_worst(verdicts))


def _options(args: argparse.Namespace, kind: type[Verifier]) -> dict[str, Any]:
    """The options that only this provider has; those of another provider are an error."""
    from ..formats.encodings import decode_hex

    names = _OPTIONS.get(kind.provider, ())
    given = {name: getattr(args, name) for name in _ALL_OPTIONS if getattr(args, name)}
    foreign = [name for name in given if name not in names]
    if foreign:
        shown = f"--{given['route']}" if foreign[0] == "route" else _SPELLED.get(foreign[0], f"--{foreign[0]}")
        raise ConfigurationError(f"{shown} is no option of provider {kind.provider!r}: leave it out")
    if "tee_id" in given:
        given["tee_id"] = decode_hex(given["tee_id"].removeprefix("0x"), what="--tee-id", size=32)
    return {name: value for name, value in given.items() if name != "backends"}


def _worst(verdicts: Any) -> Any:
    from ..verdict import Outcome

    order = (Outcome.REJECTED, Outcome.INCONCLUSIVE, Outcome.VERIFIED)
    return min((verdict.outcome for verdict in verdicts), key=order.index)


def _save(path: str, reports: list[SavedReport | None]) -> None:
    target = Path(path)
    for index, report in enumerate(reports):
        if report is not None:
            one = target if len(reports) == 1 else target.with_name(f"{target.stem}-{index}{target.suffix}")
            report.save(one)
