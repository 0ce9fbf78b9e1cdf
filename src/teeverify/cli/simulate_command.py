"""``teeverify simulate``: a provider without hardware on this machine, for trying things out and for tests."""

from __future__ import annotations

import argparse
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..testing.simulation import SimulatedTee

__all__ = ["add_parsers", "run"]

_OWN: Final = {
    "near": ("cloud", "direct", "gpus", "backends"),
    "chutes": ("gpus", "instances"),
    "opengradient": ("nodes",),
    "phala": ("shape", "gpus", "instances"),
    "vllm-proxy": ("padded", "gpus"),
    "aci": ("serving",),
    "nanogpt": ("shape", "gpus", "instances"),
    "venice": ("gpus",),
}
"""The providers that are there, with the options that each has."""
_WITH_BASE_URL: Final = ("near", "phala", "vllm-proxy", "aci")
"""Those whose chats are at /v1 of one host."""


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``simulate``."""
    simulate = commands.add_parser(
        "simulate",
        help="serve a simulated TEE on this machine",
        description="Serve a simulated provider, with all services that it needs, over HTTPS on 127.0.0.1 until "
        "interrupted. All evidence is signed under test roots: it proves nothing, and no production policy accepts it.",
    )
    simulate.add_argument("provider", metavar="PROVIDER", help=f"{', '.join(_OWN)}")
    simulate.add_argument("--port", type=int, default=0, metavar="N", help="port (default: any that is free)")
    simulate.add_argument("--fault", metavar="NAME", help="lie or fail in one way (see --list-faults)")
    shape = simulate.add_mutually_exclusive_group()
    shape.add_argument("--cloud", action="store_true", help="near: through the gateway (default)")
    shape.add_argument("--direct", action="store_true", help="near: the model's own host")
    simulate.add_argument("--gpus", type=int, metavar="N", help="GPUs of each machine")
    simulate.add_argument("--backends", type=int, metavar="N", help="near: machines behind the model's host")
    simulate.add_argument("--instances", type=int, metavar="N", help="of Chutes, also behind a front (default: 2)")
    simulate.add_argument("--nodes", type=int, metavar="N", help="opengradient: nodes of the chain (default: 2)")
    simulate.add_argument(
        "--shape", metavar="SHAPE", help="phala, nanogpt: of the reports, dstack (default), near or chutes; phala: aci"
    )
    simulate.add_argument("--padded", action="store_true", help="vllm-proxy: an older one, which binds no TLS key")
    simulate.add_argument("--serving", metavar="KIND", help="aci: direct (default) or aggregator")
    simulate.add_argument("--write", metavar="DIR", help="write roots, policy and TLS authority there, and keep them")
    simulate.add_argument("--list-faults", action="store_true", help="list what --fault takes, and exit")
    simulate.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; returns 0."""
    make = _maker(args)
    if args.list_faults:
        _list_faults(make())
        return 0
    with _interrupted() as over, make(fault=args.fault, port=args.port) as tee:
        directory = tee.directory if args.write is None else Path(args.write)
        if args.write is not None:
            tee.write(directory)
        print(_announcement(tee, directory, args), flush=True)
        while not over.wait(1.0):  # a wait without end cannot be interrupted everywhere
            pass
    return 0


def _maker(args: argparse.Namespace) -> Callable[..., SimulatedTee]:
    """What makes the simulation that is asked for; an option of another provider is an error."""
    if args.provider not in _OWN:
        raise ConfigurationError(
            f"there is no simulation of provider {args.provider[:40]!r}: {', '.join(_OWN)} are there"
        )
    from ..testing.simulation import SimulatedTee

    own = _OWN[args.provider]
    names = dict.fromkeys(name for names in _OWN.values() for name in names)
    stated = {name: getattr(args, name) for name in names}
    given = {name: value for name, value in stated.items() if value is not None and value is not False}  # 0 is given
    foreign = [name for name in given if name not in own]
    if foreign:
        raise ConfigurationError(f"--{foreign[0]} is no option of provider {args.provider!r}: leave it out")
    chosen = {name: value for name, value in given.items() if name not in ("cloud", "direct", "padded")}
    if args.provider == "near":
        chosen["cloud"] = not args.direct
    elif args.provider == "vllm-proxy":
        chosen["tls_bound"] = not args.padded
    return partial(getattr(SimulatedTee, args.provider.replace("-", "_")), **chosen)


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
    key = f"{KEY_VARIABLE}={tee.api_key} " if tee.attesting_wants_key else ""
    attest = (
        f"{key}teeverify attest {shlex.join(tee.attesting)} "
        f"--connect-to 127.0.0.1:{tee.port} --ca {quoted(authority)} --test-roots {quoted(roots)} "
        f"--policy {quoted(policy)}"
    )
    hosts = " and ".join(tee.hosts)
    reached = (
        f"base URL: {tee.base_url}"
        if args.provider in _WITH_BASE_URL
        else f"hosts:    {hosts}, all at 127.0.0.1:{tee.port}"
    )
    lines = [
        f"simulated {tee.title} on 127.0.0.1:{tee.port}; under TEST ROOTS, so it proves nothing",
        f"fault:    {tee.fault or 'none, it tells the truth'}",
        f"model:    {tee.model}",
        f"API key:  {tee.api_key}",
        f"{reached} (trust {authority})",
        f"files:    {policy}, {roots}, {authority}"
        + ("" if args.write is not None else "; they are removed at the end (--write DIR keeps them)"),
        "",
        attest,
        "",
        "Ctrl-C ends it.",
    ]
    return "\n".join(lines)


def _list_faults(tee: SimulatedTee) -> None:
    width = max(map(len, tee.faults))
    area = ""
    for name, fault in tee.explained_faults.items():
        if fault.area != area:
            area = fault.area
            print(f"{area}:")
        by = f" by {', '.join(sorted(fault.checks))}" if fault.outcome != "VERIFIED" else ""
        print(f"  {name.ljust(width)}  {fault.description} [{fault.error or fault.outcome + by}]")
