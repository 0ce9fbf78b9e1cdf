"""Alterations of what NVIDIA's attestation service answered: its tokens and the key set that they are checked with."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from ..errors import FormatError
from ..formats.jose import parse_key_set
from ..formats.strict_json import JsonValue
from .alteration import Alteration
from .answers import answer_alterations
from .byte_changes import change_token, flip, read_token_part
from .json_places import Path, get, other_value, put, styled
from .maker import Maker
from .regions import public_key_place
from .traffic import KEY_SET_PATH

__all__ = ["nvidia_alterations"]

_OVERALL: Final[Path] = (0, 1)
_OPINION: Final = "measres"
"""The claim of a GPU's token that its measurements are good."""


def nvidia_alterations(maker: Maker) -> Iterator[Alteration]:
    """NVIDIA's answers that hold tokens, then the key set, as far as the verification read them."""
    answers = maker.traffic.nvidia_answers
    for number, place in enumerate(answers):
        name = f"answer {number + 1}" if len(answers) > 1 else "answer"
        yield from answer_alterations(maker, place, "NVIDIA", name, "nvidia.answer", read=())
        yield from _tokens(maker, place, name)
    for place in maker.traffic.places(KEY_SET_PATH) if answers else ():
        yield from answer_alterations(maker, place, "NVIDIA", "key set", "nvidia.keys", read=())
        yield from _key_set(maker, place, answers[0])


def _bundle(maker: Maker, place: int) -> JsonValue:
    return json.loads(maker.traffic.exchanges[place].response.body)


def _tokens(maker: Maker, place: int, name: str) -> Iterator[Alteration]:
    bundle = _bundle(maker, place)
    text = maker.traffic.exchanges[place].response.body.decode("utf-8")

    def change(part: str, kind: str, path: Path, new: Any) -> Alteration:
        body = styled(put(bundle, path, new), like=text).encode("utf-8")
        return maker.in_answer("NVIDIA", f"{name} / {part}", kind, f"nvidia.answer@{part}", place, body=body)

    overall = "overall token"
    for part, title in ((0, "header"), (1, "claim")):
        for member in read_token_part(get(bundle, _OVERALL), part):
            yield change(f"{overall} / {title} {member}", "changed", _OVERALL, _with_member(part, member))
    yield change(f"{overall} / header alg", "set to none", _OVERALL, _with_member(0, "alg", "none"))
    yield change(f"{overall} / signature", "changed", _OVERALL, _with_signature)
    yield change(f"{overall} / signature", "removed", _OVERALL, lambda token: f"{token.rpartition('.')[0]}.")
    devices = bundle[1]
    for device in devices:
        claims = read_token_part(devices[device], 1)
        for claim in claims if maker.every_leaf else (_OPINION,):
            yield change(f"token of {device} / claim {claim}", "changed", (1, device), _with_member(1, claim))
        yield change(f"token of {device} / signature", "changed", (1, device), _with_signature)
    first = next(iter(devices))
    yield change(f"token of {first}", "removed", (1,), {each: devices[each] for each in devices if each != first})
    yield change("tokens of the GPUs", "one added", (1,), {**devices, "GPU-99": devices[first]})
    if len(devices) > 1:
        others = [*list(devices.values())[1:], devices[first]]
        yield change("tokens of the GPUs", "reordered", (1,), dict(zip(devices, others, strict=True)))
    if maker.traffic.exchanges[place].request.body is not None:
        for kind, body in (("changed", b"{}"), ("removed", None)):
            yield maker.alteration(
                "NVIDIA",
                f"{name} / request body",
                kind,
                "nvidia.answer.request_body",
                partial(maker.traffic.with_request, place, body=body),
                concerns=maker.traffic.concerned_by(place),
            )


def _with_member(part: int, name: str, value: JsonValue = None) -> Callable[[str], str]:
    """A change of one member of a token's header or payload."""

    def changed(members: JsonValue) -> JsonValue:
        return {**members, name: _other_claim(members[name]) if value is None else value}

    return lambda token: change_token(token, part, changed)


def _other_claim(value: JsonValue) -> JsonValue:
    return {} if isinstance(value, dict | list) else other_value(value)


def _with_signature(token: str) -> str:
    return change_token(token, 2, lambda signature: flip(signature, -1))


def _key_set(maker: Maker, place: int, answer: int) -> Iterator[Alteration]:
    body = maker.traffic.exchanges[place].response.body
    kid = read_token_part(get(_bundle(maker, answer), _OVERALL), 0)["kid"]
    if not _has_chain(body, kid):  # then the policy waives the check that would need it
        return
    text = body.decode("utf-8")
    document = json.loads(text)
    keys = document["keys"]
    index = next(i for i, key in enumerate(keys) if key["kid"] == kid)
    signing: Path = ("keys", index)

    def change(part: str, kind: str, path: Path, new: Any) -> Alteration:
        body = styled(put(document, path, new), like=text).encode("utf-8")
        return maker.in_answer("NVIDIA", f"key set / {part}", kind, f"nvidia.keys@{part}", place, body=body)

    for name in ("kid", "kty", "crv"):
        yield change(f"signing key / {name}", "changed", (*signing, name), other_value)
    for name in ("x", "y"):
        yield change(f"signing key / {name}", "changed", (*signing, name), _other_coordinate)
    yield change("signing key / certificate", "changed", (*signing, "x5c", 0), _changed_der(-1))
    yield change("issuing CA / public key", "changed", (*signing, "x5c", 1), _changed_der(None))
    yield change("issuing CA / signature", "changed", (*signing, "x5c", 1), _changed_der(-1))
    yield change("signing key / certificates", "removed", (*signing, "x5c"), [])
    yield change("signing key", "removed", ("keys",), [*keys[:index], *keys[index + 1 :]])
    yield change("signing key", "repeated", ("keys",), [*keys, keys[index]])
    for other in [i for i, key in enumerate(keys) if i != index and "kty" in key][:1]:
        yield change("other key", "changed", ("keys", other, "kty"), other_value)


def _has_chain(key_set: bytes, kid: str) -> bool:
    """True when the key set holds that key with the two certificates that vouch for it."""
    try:
        key = parse_key_set(key_set, what="the key set").find(kid)
    except FormatError:
        return False
    return key is not None and len(key.x5c) > 1


def _other_coordinate(text: str) -> str:
    """Another coordinate of the same length, as base64url."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return base64.urlsafe_b64encode(flip(data, 0)).rstrip(b"=").decode()


def _changed_der(place: int | None) -> Callable[[str], str]:
    """A change of one byte of a certificate in base64: at ``place``, or in the middle of its public key."""

    def changed(text: str) -> str:
        der = base64.b64decode(text)
        return base64.b64encode(flip(der, public_key_place(der) if place is None else place)).decode()

    return changed
