"""``teeverify simulate``: a provider without hardware on this machine, for trying things out and for tests."""

from __future__ import annotations

import argparse
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..testing.simulation import SimulatedTee

__all__ = ["add_parsers", "run"]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``simulate``."""
    simulate = commands.add_parser(
        "simulate",
        help="serve a simulated TEE on this machine",
        description="Serve a simulated provider, with Intel and NVIDIA beside it, over HTTPS on 127.0.0.1 until "
        "interrupted. All evidence is signed under test roots: it proves nothing, and no production policy accepts it.",
    )
    simulate.add_argument("provider", metavar="PROVIDER", help="near")
    simulate.add_argument("--port", type=int, default=0, metavar="N", help="port (default: any that is free)")
    simulate.add_argument("--fault", metavar="NAME", help="lie or fail in one way (see --list-faults)")
    shape = simulate.add_mutually_exclusive_group()
    shape.add_argument("--cloud", action="store_true", help="through the gateway (default)")
    shape.add_argument("--direct", action="store_true", help="the model's own host")
    simulate.add_argument("--gpus", type=int, default=2, metavar="N", help="GPUs of each machine (default: 2)")
    simulate.add_argument("--backends", type=int, default=1, metavar="N", help="machines behind the model's host")
    simulate.add_argument("--write", metavar="DIR", help="write roots, policy and TLS authority there, and keep them")
    simulate.add_argument("--list-faults", action="store_true", help="list what --fault takes, and exit")
    simulate.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; returns 0."""
    if args.provider != "near":
        raise ConfigurationError(f"there is no simulation of provider {args.provider[:40]!r}: near is there")
    from ..testing.simulation import SimulatedTee

    settings: dict[str, Any] = {"cloud": not args.direct, "gpus": args.gpus, "backends": args.backends}
    if args.list_faults:
        _list_faults(SimulatedTee.near(**settings))
        return 0
    with _interrupted() as over, SimulatedTee.near(**settings, fault=args.fault, port=args.port) as tee:
        directory = tee.directory if args.write is None else Path(args.write)
        if args.write is not None:
            tee.write(directory)
        print(_announcement(tee, directory, args), flush=True)
        while not over.wait(1.0):  # a wait without end cannot be interrupted everywhere
            pass
    return 0


@contextmanager
def _interrupted() -> Iterator[threading.Event]:
    """An event that Ctrl-C and the usual request to stop set, so that everything is cleaned up."""
    over = threading.Event()
    usual = {number: signal.signal(number, lambda *_: over.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield over
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def _announcement(tee: SimulatedTee, directory: Path, args: argparse.Namespace) -> str:
    from .attest_command import KEY_VARIABLE

    def quoted(path: Path) -> str:
        return shlex.quote(str(path))

    authority, roots, policy = directory / "tls-ca.pem", directory / "roots", directory / "policy.toml"
    shape = "--direct" if args.direct else "--cloud"
    attest = (
        f"{KEY_VARIABLE}={tee.api_key} teeverify attest near {tee.model} {shape} "
        f"--connect-to 127.0.0.1:{tee.port} --ca {quoted(authority)} --test-roots {quoted(roots)} "
        f"--policy {quoted(policy)}"
    )
    lines = [
        f"simulated NEAR AI ({shape[2:]}) on 127.0.0.1:{tee.port}; under TEST ROOTS, so it proves nothing",
        f"fault:    {tee.fault or 'none, it tells the truth'}",
        f"model:    {tee.model}",
        f"API key:  {tee.api_key}",
        f"base URL: {tee.base_url} (trust {authority})",
        f"files:    {policy}, {roots}, {authority}"
        + ("" if args.write is not None else "; they are removed at the end (--write DIR keeps them)"),
        "",
        attest,
        "",
        "Ctrl-C ends it.",
    ]
    return "\n".join(lines)


def _list_faults(tee: SimulatedTee) -> None:
    from ..testing.simulation import FAULTS

    width = max(map(len, tee.faults))
    area = ""
    for name in tee.faults:
        fault = FAULTS[name]
        if fault.area != area:
            area = fault.area
            print(f"{area}:")
        found = "VERIFIED" if fault.outcome == "VERIFIED" else f"{fault.outcome} by {', '.join(sorted(fault.checks))}"
        print(f"  {name.ljust(width)}  {fault.description} [{found}]")
