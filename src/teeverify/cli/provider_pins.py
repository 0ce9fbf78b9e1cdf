"""``teeverify policy pin --from-provider``: propose pins from a provider's own list, for a human to judge."""

from __future__ import annotations

import argparse
import hashlib
import sys
from datetime import datetime, timezone
from pathlib import Path

from ..claims.problem import Problem
from ..errors import ConfigurationError, FormatError, InputError, TransportError
from ..flow import run
from ..limits import MAX_ENDORSEMENT_BODY
from ..policy import Policy
from ..policy_proposal import propose_policy
from ..providers.chutes_measurements import MEASUREMENTS_URL, measurements_flow, read_measurements
from ..registry import verifier_for
from .connecting import chosen_transport

__all__ = ["proposed_policy"]

_PROVIDER = "chutes"
_ROLE = "instance"
_MAX_FILE_NAME = 40
"""Characters of a file's name in a comment."""


def proposed_policy(args: argparse.Namespace) -> str:
    """The TOML text of a policy that pins what the provider lists; rows that are left out are named on standard error.

    Raises:
        ConfigurationError: options that do not go together, or a provider without a list.
        TransportError: the list could not be fetched.
        InputError: the file cannot be read, or what was read is no list with a row that can be pinned.
    """
    verifier_for(args.from_provider)  # an unknown provider is the clearer error
    if args.from_provider != _PROVIDER:
        raise ConfigurationError(
            f"provider {args.from_provider!r} publishes no list of measurements that is read here; {_PROVIDER} does"
        )
    body, source = _fetched(args) if args.measurements is None else _read(args)
    at = datetime.now(timezone.utc)
    found = read_measurements(body)
    for sentence in found.left_out:
        print(f"Left out {sentence}", file=sys.stderr)
    if not found.images:
        raise FormatError(
            "nothing_to_pin", "the list of measurements has no row that can be pinned: nothing was written"
        )
    text = propose_policy(
        found.images,
        shipped=Policy.builtin(_PROVIDER),
        role=_ROLE,
        name=args.name or f"{_PROVIDER}-proposed-{at:%Y-%m-%d}",
        listed_at=at,
        source=source,
        left_out=found.left_out,
    )
    Policy.from_toml(text)  # what is written can be read
    return text


def _fetched(args: argparse.Namespace) -> tuple[bytes, str]:
    with chosen_transport(args) as transport:
        body = run(measurements_flow(), transport)
    if isinstance(body, Problem):
        raise TransportError(body.detail)
    return body, f"GET {MEASUREMENTS_URL} (SHA-256 {hashlib.sha256(body).hexdigest()})"


def _read(args: argparse.Namespace) -> tuple[bytes, str]:
    path = Path(args.measurements)
    for option in ("connect_to", "ca"):
        if getattr(args, option) is not None:
            raise ConfigurationError(f"--{option.replace('_', '-')} is of no use with --measurements: leave one out")
    try:
        with path.open("rb") as file:
            body = file.read(MAX_ENDORSEMENT_BODY + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"the file {args.measurements!r} cannot be read: {reason}") from None
    digest = hashlib.sha256(body).hexdigest()
    return body, f"the saved copy {path.name[:_MAX_FILE_NAME]} (SHA-256 {digest}), which bears no date of its own"
