"""``teeverify demo``: the whole protocol against a simulated endpoint on this machine, truthful first, then lying."""

from __future__ import annotations

import argparse

from ..errors import ConfigurationError

__all__ = ["add_parsers", "run"]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``demo``."""
    demo = commands.add_parser(
        "demo",
        help="see it work against a simulated endpoint on this machine",
        description="Start a simulated endpoint on 127.0.0.1, attest it, send a chat completion, verify its "
        "signature, save the report and verify it offline; then break one thing at a time. No network is used, and "
        "nothing here proves anything about real hardware: all of it is signed under test roots.",
    )
    demo.add_argument("--provider", default="near", metavar="NAME", help="near (default) or opengradient")
    demo.add_argument("--direct", action="store_true", help="near: the model's own host in place of the gateway")
    demo.add_argument("--save", metavar="OUT.json", help="keep the saved report")
    demo.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration; 0 when every step came out as it should, else 1."""
    if args.provider == "near":
        from .demo_steps import demonstrate

        return demonstrate(direct=args.direct, save=args.save)
    if args.provider != "opengradient":
        raise ConfigurationError(
            f"there is no simulated endpoint of provider {args.provider[:40]!r}: near and opengradient are there"
        )
    if args.direct:
        raise ConfigurationError("--direct is no option of provider 'opengradient': leave it out")
    from .demo_opengradient import demonstrate_opengradient

    return demonstrate_opengradient(save=args.save)
