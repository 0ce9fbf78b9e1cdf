"""MRCONFIGID of versions 1 to 3: exactly the 48 bytes, and a document that binds what was measured."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from teeverify.errors import FormatError
from teeverify.formats.mr_config import mr_config_v2, mr_config_v3
from teeverify.formats.mr_config_document import parse_mr_config_document
from teeverify.testing import DstackApp

from .apps import failing, judge, reason


def app_with(mr_config_id: bytes) -> DstackApp:
    app = DstackApp.build()
    app.enclave.reboot(mr_config_override=mr_config_id)
    return app


def document(**changes: Any) -> str:
    """The document as dstack's hosts write it, for the simulated app."""
    boot = DstackApp.build().enclave.boot
    members = {
        "app_id": boot.app_id.hex(),
        "compose_hash": boot.compose_hash.hex(),
        "instance_id": boot.instance_id.hex(),
        "key_provider": "kms",
        "key_provider_id": boot.kms.spki.hex(),
        "version": 3,
    }
    members |= changes
    return json.dumps({k: v for k, v in members.items() if v is not None}, separators=(",", ":"), sort_keys=True)


def served(text: str, *, place: str = "vm_config", value: Any = None) -> Any:
    """The verdict on an app of version 3 that serves a document at some place of its files."""
    app = app_with(mr_config_v3(text.encode()))
    files: dict[str, Any] = app.files()
    given = text if value is None else value
    if place == "record":
        files["mr_config"] = given
    elif place == "vm_config":
        files["vm_config"] = json.dumps({**json.loads(files["vm_config"]), "mr_config": given})
    elif place:
        info = json.loads(files["info"])
        holder = info if place == "info" else info["tcb_info"]
        holder["mr_config"] = given
        files["info"] = json.dumps(info)
    return judge(app, files)


@pytest.mark.parametrize("place", ["record", "vm_config", "info", "tcb_info"])
def test_version_3_with_its_document(place: str) -> None:
    assert failing(served(document(), place=place)) == set()


def test_the_text_is_hashed_as_it_was_served() -> None:
    pretty = json.dumps(json.loads(document()), indent=2)
    assert failing(served(pretty)) == set()
    assert reason(served(document(), value=pretty), "dstack.mr_config_id") == "other_config"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"compose_hash": "11" * 32}, "other_document"),
        ({"compose_hash": None}, "other_document"),
        ({"app_id": "11" * 20}, "other_document"),
        ({"instance_id": "11" * 20}, "other_document"),
        ({"key_provider": "local"}, "other_document"),
        ({"key_provider": "none"}, "other_document"),
        ({"key_provider": None}, "other_document"),
        ({"key_provider_id": "11"}, "other_document"),
        ({"gpu_policy_hash": "11" * 32}, "other_document"),
        ({"init_script_hashes": ["11" * 32]}, "other_document"),
        ({"init_script_hashes": "x"}, "other_document"),
        ({"version": 2}, "other_document"),
        ({"version": True}, "other_document"),
        ({"unknown": "x"}, "other_document"),
    ],
)
def test_a_document_that_binds_something_else(changes: dict[str, Any], why: str) -> None:
    """The host typed it, hash and all."""
    verdict = served(document(**changes))
    assert failing(verdict) == {"dstack.mr_config_id"}
    assert reason(verdict, "dstack.mr_config_id") == why


@pytest.mark.parametrize(
    "changes", [{"app_id": None}, {"instance_id": ""}, {"version": None}, {"init_script_hashes": []}]
)
def test_what_a_document_may_leave_open(changes: dict[str, Any]) -> None:
    assert failing(served(document(**changes))) == set()


def test_version_3_without_its_document() -> None:
    verdict = served(document(), place="")
    assert failing(verdict) == {"dstack.mr_config_id"}
    assert reason(verdict, "dstack.mr_config_id") == "document_missing"


@pytest.mark.parametrize("value", [["x"], {"version": 3}, 7, "{", "x"])
def test_a_document_that_is_none(value: Any) -> None:
    assert failing(served(document(), value=value)) == {"dstack.mr_config_id"}


def test_two_documents_are_none() -> None:
    app = app_with(mr_config_v3(document().encode()))
    files: dict[str, Any] = app.files()
    files["vm_config"] = json.dumps({**json.loads(files["vm_config"]), "mr_config": document()})
    files["mr_config"] = document(app_id=None)
    assert reason(judge(app, files), "dstack.mr_config_id") == "other_document"
    files["mr_config"] = document()
    assert failing(judge(app, files)) == set()


def test_version_2() -> None:
    boot = DstackApp.build().enclave.boot
    good = mr_config_v2(boot.compose_hash, boot.app_id, "kms", boot.kms.spki)
    assert failing(judge(app_with(good))) == set()
    assert failing(judge(app_with(mr_config_v2(boot.compose_hash, boot.app_id, "none", b"")))) == {
        "dstack.mr_config_id"
    }
    for other in (good[:33] + b"\1" + good[34:], b"\1" + good[1:], b"\3" + good[1:]):
        assert failing(judge(app_with(other))) == {"dstack.mr_config_id"}


def test_every_other_content_fails() -> None:
    compose_hash = DstackApp.build().enclave.boot.compose_hash
    good = b"\1" + compose_hash + bytes(15)
    others = [
        bytes(48), good[:-1] + b"\1", good[:33] + b"\x80" + good[34:], b"\4" + good[1:], b"\xff" + good[1:],
        b"\0" + good[1:], b"\1" + hashlib.sha256(b"x").digest() + bytes(15), b"\1" + bytes(47),
    ]  # fmt: skip
    assert failing(judge(app_with(good))) == set()
    for other in others:
        assert failing(judge(app_with(other))) == {"dstack.mr_config_id"}, other.hex()


def test_version_1_does_not_look_at_documents() -> None:
    app = DstackApp.build()
    assert failing(judge(app, {**app.files(), "mr_config": "{"})) == set()


def test_owners_must_be_zero() -> None:
    for name in ("mr_owner", "mr_owner_config"):
        app = DstackApp.build()
        app.enclave.td_changes[name] = b"\1" * 48
        assert "tdx.attributes" in failing(judge(app)), name


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"compose_hash": "1"}', '{"compose_hash": 1, "key_provider": "kms"}']
)
def test_the_reader_of_documents(text: str) -> None:
    with pytest.raises(FormatError):
        parse_mr_config_document(text.encode())
