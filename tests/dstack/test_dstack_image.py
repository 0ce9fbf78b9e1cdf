"""sha256sum.txt and metadata.json of an image."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from teeverify.errors import FormatError
from teeverify.formats.dstack_image import os_image_hash, parse_manifest, parse_metadata

A, B = "a1" * 32, "b2" * 32
GOOD: dict[str, Any] = {"bios": "ovmf.fd", "kernel": "bzImage", "initrd": "initramfs.cpio.gz", "cmdline": "quiet"}


def test_manifest() -> None:
    text = f"{A}  ovmf.fd\n{B} *bzImage\n".encode()
    assert parse_manifest(text) == {"ovmf.fd": bytes.fromhex(A), "bzImage": bytes.fromhex(B)}
    assert parse_manifest(text[:-1]) == parse_manifest(text)
    assert os_image_hash(text) == hashlib.sha256(text).digest() != os_image_hash(text[:-1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{A}  ovmf.fd\n\n",
        f"{A}  ovmf.fd\r\n",
        f"{A} ovmf.fd",
        f"{A[:-2]}  ovmf.fd",
        f"{A.upper()}  ovmf.fd",
        f"{A}  ../ovmf.fd",
        f"{A}  /etc/passwd",
        f"{A}  sub/ovmf.fd",
        f"{A}  sub\\ovmf.fd",
        f"{A}  ..",
        f"{A}  .hidden",
        f"{A}  -rf",
        f"{A}  ovmf.fd ",
        f"{A}  öl",
        f"{A}  sha256sum.txt",
        f"{A}  ovmf.fd\n{B}  ovmf.fd\n",
        f"\\{A}  ovmf.fd",
        "\n".join(f"{A}  file{number}" for number in range(65)),
    ],
)
def test_manifests_that_are_refused(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_manifest(text.encode())
    assert caught.value.code == "manifest"


@pytest.mark.parametrize("data", [b"\xff\xfe", b"x" * (64 * 1024 + 1)])
def test_bytes_that_are_no_manifest(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_manifest(data)


def metadata(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_metadata() -> None:
    found = parse_metadata(metadata(version="0.5.8", is_dev=True, git_revision="abc"))
    assert (found.bios, found.kernel, found.initrd) == ("ovmf.fd", "bzImage", "initramfs.cpio.gz")
    assert (found.cmdline, found.version, found.is_dev, found.has_known_firmware) == ("quiet", "0.5.8", True, True)
    assert parse_metadata(metadata()).is_dev is None


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ({}, False),
        ({"version": ""}, False),
        ({"version": "0.5"}, False),
        ({"version": "v0.5.8"}, False),
        ({"version": "0.5.8-dev"}, False),
        ({"version": "0.4.99"}, True),
        ({"version": "0.5.9"}, True),
        ({"version": "0.5.10"}, False),
        ({"version": "0.5.99"}, False),
        ({"version": "0.6.0"}, True),
        ({"version": "0.6.1"}, False),
        ({"version": "1.0.0"}, False),
        ({"ovmf_variant": "pre202505"}, True),
        ({"ovmf_variant": "pre202505", "version": "0.6.1"}, True),
        ({"ovmf_variant": "stable202505", "version": "0.5.8"}, False),
        ({"ovmf_variant": "stable209901"}, False),
        ({"ovmf_variant": 1}, False),
    ],
)
def test_which_firmware_is_known(said: dict[str, Any], known: bool) -> None:
    assert parse_metadata(metadata(**said)).has_known_firmware is known


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b'"text"',
        metadata(bios=None),
        metadata(kernel=1),
        metadata(kernel="../bzImage"),
        metadata(initrd="/dev/zero"),
        metadata(initrd=""),
        metadata(cmdline=None),
        metadata(cmdline=["quiet"]),
        metadata(is_dev="false"),
        metadata(is_dev=0),
        metadata(version=5),
    ],
)
def test_metadata_that_is_refused(document: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_metadata(document)
    assert caught.value.code == "image_metadata"


@pytest.mark.parametrize("document", [b"", b"{", b'{"bios":"a","bios":"b"}', b"\xff"])
def test_documents_that_are_no_json(document: bytes) -> None:
    with pytest.raises(FormatError):
        parse_metadata(document)
