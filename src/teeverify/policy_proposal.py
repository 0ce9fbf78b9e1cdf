"""Writing a policy out of what a provider says of its own images: proposed pins, each held against the shipped ones.

Nobody vouches for such a list but the provider. So the text says of every image whether the shipped policy knows it,
and which shipped ones are listed no more; a human reads it before any verdict rests on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from .policy import BaseImage, Policy, ReferenceValues, TcbPolicy, utc_day
from .policy_text import to_toml

__all__ = ["ListedImage", "propose_policy"]

VALIDITY: Final = timedelta(days=90)
"""As for observed pins: after three months they deserve a second look."""
_MAX_SHOWN: Final = 3
"""Further names of one image that its comment spells out."""


@frozen(kw_only=True)
class ListedImage:
    """One image that a provider lists.

    ``image`` is the whole tuple, MRTD and RTMR0 to RTMR3, under the provider's name for it. ``also`` are further names
    that the list gives to the same tuple. ``gpu_count`` is how many GPUs the list says it has, None where it does not.
    """

    image: BaseImage
    also: tuple[str, ...] = ()
    gpu_count: int | None = None


def propose_policy(
    listed: Sequence[ListedImage],
    *,
    shipped: Policy,
    role: str,
    name: str,
    listed_at: datetime,
    source: str,
    left_out: Sequence[str] = (),
) -> str:
    """Write the commented TOML text of a policy that pins the images of a provider's list.

    Nothing is waived. Whether GPUs are demanded, their architectures and the least evaluation number are those of the
    shipped policy; the TDX module is not pinned, since a list of images does not say which one runs.

    Args:
        listed: the images, at least one, each tuple once.
        shipped: the policy that teeverify ships for the provider; the images are compared with its pins.
        role: the role that the pins are for.
        name: name of the policy.
        listed_at: aware time at which the list was read; the policy is valid until 90 days later.
        source: where the list was read, for the comments.
        left_out: a sentence for each row of the list that is not proposed.

    Raises:
        PolicyError: there is no image, or a value breaks the rules of a policy.
        ConfigurationError: ``listed_at`` has no time zone.
    """
    day = utc_day(listed_at)
    counts = [one.gpu_count for one in listed if one.gpu_count is not None]
    policy = Policy(
        name=name,
        provider=shipped.provider,
        valid_until=day + VALIDITY,
        tcb=TcbPolicy(min_eval_number=shipped.tcb.min_eval_number),
        gpu=evolve(shipped.gpu, min_count=min(counts, default=shipped.gpu.min_count)),
        pins={role: ReferenceValues(base_images=tuple(one.image for one in listed))},
    )
    known = _known(shipped, role)
    comments = _settings(f"builtin:{shipped.name}", shipped, role)
    for index, one in enumerate(listed):
        comments[f"pins.{role}.base_images[{index}]"] = " ".join(_origin(one, known, shipped.name, f"{day}"))
    header = _header(listed, known, shipped, f"{source}, read on {day}", left_out)
    return to_toml(policy, header=tuple(header), comments=comments)


def _known(shipped: Policy, role: str) -> tuple[BaseImage, ...]:
    pins = shipped.pins_for(role)
    return () if pins is None else pins.base_images or ()


def _twin(image: BaseImage, known: Sequence[BaseImage]) -> BaseImage | None:
    """The shipped image with exactly these registers."""
    return next((other for other in known if other.registers == image.registers), None)


def _sibling(image: BaseImage, known: Sequence[BaseImage]) -> BaseImage | None:
    """A shipped image of the same software, which another shape of machine booted: only RTMR0 differs."""
    return next((other for other in known if _software(other) == _software(image)), None)


def _software(image: BaseImage) -> tuple[bytes | None, ...]:
    return (image.mrtd, image.rtmr1, image.rtmr2, image.rtmr3)


def _origin(one: ListedImage, known: Sequence[BaseImage], shipped: str, day: str) -> Iterator[str]:
    twin, sibling = _twin(one.image, known), _sibling(one.image, known)
    if twin is not None:
        yield f'In builtin:{shipped} as "{twin.label}".'
    elif sibling is not None:
        yield f'NEW, not in builtin:{shipped}; all but RTMR0 is that of "{sibling.label}" there.'
    else:
        yield f"NEW, not in builtin:{shipped}; no image there has this software."
    yield f"Listed by the provider on {day}, unsigned."
    if one.also:
        more = len(one.also) - _MAX_SHOWN
        names = ", ".join(f'"{label}"' for label in one.also[:_MAX_SHOWN])
        yield f"Listed as {names}{f' and {more} more' if more > 0 else ''} too."


def _settings(shipped: str, policy: Policy, role: str) -> dict[str, str]:
    return {
        "valid_until": f"{VALIDITY.days} days after the list was read: look again then.",
        "tcb.min_eval_number": f"That of {shipped}; the list does not say.",
        "gpu.min_count": f"Lowest number that the list says of these images; {shipped} demands {policy.gpu.min_count}.",
        "gpu.arch": f"That of {shipped}: images for other GPUs are listed below in vain until you add theirs.",
        f"pins.{role}": f"The list does not name TDX modules: take mr_seam from {shipped}, or from a report.",
    }


def _header(
    listed: Sequence[ListedImage], known: Sequence[BaseImage], shipped: Policy, source: str, left_out: Sequence[str]
) -> Iterator[str]:
    builtin = f"builtin:{shipped.name}"
    new = sum(_twin(one.image, known) is None for one in listed)
    offered = {one.image.registers for one in listed}
    gone = [image.label for image in known if image.registers not in offered]
    yield "PROPOSED pins: what the provider says of its own images."
    yield f"Source: {source}."
    yield ""
    yield "This is the operator's unsigned word, worth as much as the TLS connection that it came over, or as whoever"
    yield "saved the copy. No value here was observed or checked, and no verdict ever asks for that list: these pins"
    yield "count when you give this file as --policy, not before. You are the one who decides. What to do next:"
    yield f"  1. Images that {builtin} has too: its comments say which of them were observed, and when."
    yield "  2. NEW images: hold them against `teeverify policy pin` of a report whose hardware checks pass, or against"
    yield "     an image that you built from the published sources. Delete those that you can hold against nothing."
    yield f"  3. Run `teeverify policy diff {builtin}` and `teeverify policy lint` on this file."
    yield ""
    yield f"Proposed: {len(listed)}, of which {len(listed) - new} in {builtin} and {new} NEW."
    yield from _named(f"In {builtin} and not proposed here, listed no more or left out below", gone)
    yield from _named("Rows of the list that were left out", left_out)
    yield ""


def _named(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"{title}: {len(lines) or 'none'}{':' if lines else '.'}"
    yield from (f"  - {line}" for line in lines)
