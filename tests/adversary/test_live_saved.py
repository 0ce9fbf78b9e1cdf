"""Saved exchanges whose file lies: whatever a file says, it is VERIFIED for the signed bytes only."""

from __future__ import annotations

import base64
import copy
import functools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from live.provider import MODEL, Provider, live_verifier
from teeverify.errors import SavedReportError
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.verdict import Outcome, VerifiedExchange

REJECTED, INCONCLUSIVE, VERIFIED = Outcome.REJECTED, Outcome.INCONCLUSIVE, Outcome.VERIFIED
Document = dict[str, Any]
Change = Callable[[Document], None]


@functools.cache
def _text(cloud: bool) -> bytes:
    provider = Provider(cloud=cloud)
    judged = live_verifier(provider).verify_exchange(provider.chat(stream=True)).require()
    assert judged.evidence is not None
    return judged.evidence.to_bytes()


@functools.cache
def auditor(cloud: bool) -> NearVerifier:
    return live_verifier(Provider(cloud=cloud))


def saved(cloud: bool = True) -> Document:
    document: Document = json.loads(_text(cloud))
    return document


def judge(document: Document, *, cloud: bool = True) -> VerifiedExchange:
    return auditor(cloud).verify_saved_exchange(SavedReport.from_bytes(json.dumps(document).encode()))


def signature(document: Document) -> Document:
    (found,) = (e for e in document["exchanges"] if "/v1/signature/" in e["request"]["url"])
    entry: Document = found
    return entry


def report(document: Document) -> Document:
    return next(e for e in document["exchanges"] if "/attestation/report" in e["request"]["url"])


def of_url(change: Callable[[str], str]) -> Change:
    def edit(document: Document) -> None:
        request = signature(document)["request"]
        assert change(request["url"]) != request["url"]
        request["url"] = change(request["url"])

    return edit


def twice(**response: Any) -> Change:
    """A second answer to the signature's request, in front of the real one."""

    def edit(document: Document) -> None:
        entry = copy.deepcopy(signature(document))
        entry["response"].update(response)
        document["exchanges"].insert(0, entry)

    return edit


def second_report(**change: str) -> Change:
    def edit(document: Document) -> None:
        entry = copy.deepcopy(report(document))
        for old, new in change.items():
            entry["request"]["url"] = entry["request"]["url"].replace(old, new)
        document["exchanges"].insert(0, entry)

    return edit


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (of_url(lambda url: url.replace("https://", "http://")), INCONCLUSIVE),
        (of_url(lambda url: url.replace("cloud-api", "evil")), INCONCLUSIVE),
        (of_url(lambda url: url.replace(".near.ai/", ".near.ai:443/")), INCONCLUSIVE),
        (of_url(lambda url: url.replace("https://", "https://user@")), INCONCLUSIVE),
        (of_url(lambda url: url.replace("ed25519", "ecdsa")), INCONCLUSIVE),
        (of_url(lambda url: url.replace("model=", "model=x")), INCONCLUSIVE),
        (of_url(lambda url: url + "&x=1"), INCONCLUSIVE),
        (of_url(lambda url: url + "&signing_algo=ecdsa"), INCONCLUSIVE),
        (of_url(lambda url: url.replace("/v1/signature/", "/v1//signature/")), INCONCLUSIVE),
        (lambda document: signature(document)["request"].update(method="POST"), INCONCLUSIVE),
        (lambda document: signature(document)["response"].update(status=404), INCONCLUSIVE),
        (twice(status=404), VERIFIED),
        (twice(body=base64.b64encode(b'{"text": 1}').decode()), REJECTED),
        (second_report(ed25519="ecdsa"), REJECTED),
        (lambda document: document.update(model="other"), REJECTED),
    ],
)
def test_recordings_that_are_not_what_was_asked(change: Change, outcome: Outcome) -> None:
    document = saved()
    change(document)
    assert judge(document).outcome is outcome


@pytest.mark.parametrize(
    "value",
    ["", "x" * 257, "a\nb", "\u202e", 5, True, [], {}],
)
def test_chat_ids_that_cannot_be(value: Any) -> None:
    document = saved()
    document["exchange"]["chat_id"] = value
    with pytest.raises(SavedReportError):
        judge(document)


@pytest.mark.parametrize("value", [5, "!!", "AB", " QQ==", [], {}])
@pytest.mark.parametrize("name", ["request_body", "response_body", "peer_spki"])
def test_members_that_are_not_base64(name: str, value: Any) -> None:
    document = saved()
    document["exchange"][name] = value
    with pytest.raises(SavedReportError):
        judge(document)


@pytest.mark.parametrize("value", [[], "x", 1, True, {}])
def test_exchanges_that_are_none(value: Any) -> None:
    document = saved()
    document["exchange"] = value
    with pytest.raises(SavedReportError):
        judge(document)


@pytest.mark.parametrize("change", [{"chat_id": "another"}, {"peer_spki": ""}, {"peer_spki": "QQ=="}])
def test_members_that_contradict_what_was_signed(change: Document) -> None:
    document = saved()
    document["exchange"].update(change)
    assert judge(document).outcome is REJECTED


def test_an_exchange_of_another_session_is_not_this_ones() -> None:
    ours, other = saved(), Provider(cloud=True)
    chat = other.chat("chatcmpl-2")
    ours["exchange"].update(
        chat_id="chatcmpl-2",
        request_body=base64.b64encode(chat.request_body).decode(),
        response_body=base64.b64encode(chat.response_body).decode(),
    )
    assert judge(ours).outcome is INCONCLUSIVE  # its signature is not in the file
    signature(ours)["request"]["url"] = signature(ours)["request"]["url"].replace("chatcmpl-1", "chatcmpl-2")
    assert judge(ours).outcome is REJECTED  # and that of another chat does not fit


def test_a_cloud_signature_is_none_for_a_direct_session() -> None:
    cloud, direct = saved(), saved(cloud=False)
    signature(direct)["response"] = signature(cloud)["response"]
    assert judge(direct, cloud=False).verified  # the very same key and bytes
    document = saved(cloud=False)
    document["exchanges"].remove(signature(document))
    document["exchanges"].append(signature(cloud))  # but not the answer of another host
    assert judge(document, cloud=False).outcome is INCONCLUSIVE


def test_no_mangled_exchange_is_verified_or_raises() -> None:
    dice = random.Random(20260615)
    original = saved()
    signed = json.loads(base64.b64decode(signature(original)["response"]["body"]))
    spoilt: list[Any] = [None, 0, True, [], {}, "", "0x", "\u00e9", MODEL, "ff" * 64, "00" * 32, signed["text"].upper()]
    verified = 0
    for _ in range(30):
        document, statement = saved(), dict(signed)
        name = dice.choice(sorted(statement))
        statement[name] = dice.choice([value for value in spoilt if value != statement[name]])
        signature(document)["response"]["body"] = base64.b64encode(json.dumps(statement).encode()).decode()
        judged = judge(document)
        verified += judged.verified
        if judged.verified:  # the kind may be left out, and says nothing then
            assert (name, statement[name]) == ("signature_kind", None)
    assert verified < 5
