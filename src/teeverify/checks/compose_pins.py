"""Does the compose document obey what the policy demands of it, beside its hash?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from attrs import frozen

from ..claims.problem import need
from ..claims.subject import Subject
from ..errors import FormatError
from ..formats.compose_facts import ComposeFacts, read_compose_facts
from ..formats.compose_yaml import MissingExtraError
from ..policy import Policy
from ..policy_compose import FORBIDDEN, ComposeFlags
from .catalogue import Finding, check, failed, info, not_applicable, passed, unevaluated
from .dstack import dstack_claims

__all__: list[str] = []

_SOURCE = "Compose specification (compose-spec); dstack app-compose; the caller's policy"


@frozen
class _Unreadable:
    """The document can be taken in more than one way, or is none of which facts are known."""

    detail: str


@lru_cache(maxsize=16)
def _read(text: str) -> ComposeFacts | _Unreadable:
    """The facts of a document; reading one takes as long as a verdict, so the last ones are kept."""
    try:
        return read_compose_facts(text)
    except FormatError as error:
        return _Unreadable(str(error))


def _facts(subject: Subject) -> ComposeFacts | _Unreadable | None:
    """None where the extra that reads compose files is not installed."""
    text = need(dstack_claims(subject).app_compose).text
    try:
        return _read(text)
    except MissingExtraError:
        return None


def _extra_missing(pinned: bool) -> Finding:
    words = "compose documents cannot be read without PyYAML: install teeverify[compose]"
    return unevaluated("extra_missing", words) if pinned else not_applicable("extra_missing", words)


@check(
    "pin.images_by_digest",
    title="Every image of the compose document is named by its digest",
    explanation=(
        "A tag such as latest is whatever the registry serves on the day of the boot, so the measured compose document "
        "does not say which program runs. A digest does. Where the policy demands digests, an image by tag, one whose "
        "name holds a variable, and one that is built in the guest are refused. Scripts of the document may fetch "
        "others: compose_flags.pre_launch_scripts pins them."
    ),
    requires=("dstack.compose_event",),
    source=_SOURCE,
    anchor="Intel root, policy pin of the base image",
    reasons={
        "loose_image": "An image is not named by a digest; the sentence names it.",
        "unreadable": "The document cannot be read in one certain way, so its images are not known.",
    },
)
def images_by_digest(subject: Subject, policy: Policy) -> Finding:
    pins = policy.pins.get(subject.role)
    pinned = pins is not None and pins.images_by_digest is not None
    facts = _facts(subject)
    if facts is None:
        return _extra_missing(pinned)
    if isinstance(facts, _Unreadable):
        words = f"the images are not known: {facts.detail}"
        return failed("unreadable", words) if pinned else info("unreadable", words)
    count, loose = len(facts.images), facts.loose_images
    if loose:
        words = f"{count} images, {len(loose)} places without a digest: {_some(loose)}"
        return failed("loose_image", words) if pinned else info("loose_image", words)
    words = f"{count} images, all named by digest"
    return passed(words) if pinned else info("not_pinned", words)


@check(
    "pin.compose_flags",
    title="The compose document allows no more than the policy does",
    explanation=(
        "The compose document says which environment variables the operator may fill in, which scripts run before the "
        "containers, and what containers may reach: with privileges, or with the socket of the container runtime, one "
        "of them can take over the guest. What the policy demands of these is held against the document. A member of "
        "the document that is not known here may do anything, so it is refused where anything is demanded."
    ),
    requires=("dstack.compose_event",),
    source=_SOURCE,
    anchor="Intel root, policy pin of the base image",
    reasons={
        "env_not_allowed": "The document lets in an environment variable that the policy does not list.",
        "script_not_pinned": "The document runs a script that the policy does not list.",
        "forbidden": "A service has privileges or reaches a socket that the policy forbids.",
        "flag_missing": "The document does not state a member that the policy demands.",
        "other_flag": "The document states another value of a member than the policy demands.",
        "unknown_member": "The document has a member whose meaning is not known here.",
        "unreadable": "The document cannot be read in one certain way.",
    },
)
def compose_flags(subject: Subject, policy: Policy) -> Finding:
    pins = policy.pins.get(subject.role)
    flags = None if pins is None else pins.compose_flags
    facts = _facts(subject)
    if facts is None:
        return _extra_missing(flags is not None)
    if isinstance(facts, _Unreadable):
        words = f"the facts of the document are not known: {facts.detail}"
        return info("unreadable", words) if flags is None else failed("unreadable", words)
    if flags is None:
        return info("not_pinned", _in_words(facts))
    refused = next(_refusals(facts, flags), None)
    if refused is not None:
        return failed(*refused)
    return passed(f"the document allows no more than the policy: {_in_words(facts)}")


def _refusals(facts: ComposeFacts, flags: ComposeFlags) -> Iterator[tuple[str, str]]:
    """Everything that the policy does not allow: reason and sentence."""
    if facts.unknown:
        yield "unknown_member", f"the document has members that are not known here: {_some(facts.unknown)}"
    if flags.allowed_envs is not None:
        extra = [name for name in facts.allowed_envs if name not in flags.allowed_envs]
        if extra:
            yield "env_not_allowed", f"the policy does not list {len(extra)} environment variables: {_some(extra)}"
    if flags.pre_launch_scripts is not None:
        for name, digest in facts.scripts.items():
            if digest not in flags.pre_launch_scripts:
                yield "script_not_pinned", f"the policy does not list {name}, whose SHA-256 is {digest.hex()}"
    for fact in FORBIDDEN:
        services = getattr(facts, fact)
        if getattr(flags, fact) is False and services:
            yield "forbidden", f"the policy forbids {fact}, which these have: {_some(services)}"
    for name, value in flags.stated.items():
        if name not in facts.flags:
            yield "flag_missing", f"the policy demands {name}, and the document does not state it"
        elif facts.flags[name] != value:
            yield "other_flag", f"{name} of the document is {_word(facts.flags[name])}, {_word(value)} is demanded"


def _in_words(facts: ComposeFacts) -> str:
    scripts = ", ".join(f"{name} {digest.hex()[:12]}" for name, digest in facts.scripts.items())
    counts = ", ".join(f"{len(getattr(facts, fact))} with {fact}" for fact in FORBIDDEN)
    return f"{len(facts.allowed_envs)} environment names, {f'scripts {scripts}' if scripts else 'no script'}, {counts}"


def _some(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(name[:120] for name in names[:4])
    return f"{shown} ..." if len(names) > 4 else shown


def _word(value: bool) -> str:
    return "true" if value else "false"
