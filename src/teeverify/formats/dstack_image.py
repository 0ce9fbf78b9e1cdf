"""A published dstack OS image: the list of its files with their digests, and the document that says what they are.

The name of an image is SHA-256 over the bytes of ``sha256sum.txt``; the guest measures it as ``os-image-hash``. Every
file counts only as far as that list holds its digest. Source: dstack ``dstack-types`` (ImageInfo), ``dstack-verifier``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from ..errors import FormatError
from .strict_json import loads

__all__ = ["MANIFEST", "METADATA", "ImageMetadata", "os_image_hash", "parse_manifest", "parse_metadata"]

MANIFEST: Final = "sha256sum.txt"
METADATA: Final = "metadata.json"
_LINE: Final = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})", re.ASCII)
_MAX_FILES: Final = 64
_MAX_DOCUMENT: Final = 64 << 10
_KNOWN_VARIANT: Final = "pre202505"


@frozen(kw_only=True)
class ImageMetadata:
    """What ``metadata.json`` says.

    ``bios``, ``kernel`` and ``initrd`` are names of files beside it. ``is_dev`` is None where the document does not
    say. ``has_known_firmware`` is True only where the document says, by ``ovmf_variant`` or by a version, that the
    firmware is from before edk2-stable202505, whose RTMR0 can be computed.
    """

    bios: str
    kernel: str
    initrd: str
    cmdline: str
    version: str | None
    is_dev: bool | None
    has_known_firmware: bool


def os_image_hash(manifest: bytes) -> bytes:
    """The OS image hash (32 bytes): SHA-256 of ``sha256sum.txt`` as it stands."""
    return hashlib.sha256(manifest).digest()


def parse_manifest(manifest: bytes) -> Mapping[str, bytes]:
    """The SHA-256 digests of ``sha256sum.txt`` by file name, in the format of the tool ``sha256sum``.

    Raises:
        FormatError: ``manifest`` for anything but lines of 64 lower-case hex digits, two separators and a plain file
            name, each name once and never the list itself.
    """
    found: dict[str, bytes] = {}
    for number, line in enumerate(_text(manifest, MANIFEST, "manifest").removesuffix("\n").split("\n"), start=1):
        match = _LINE.fullmatch(line)
        if match is None or not _is_plain(match[2]):
            raise FormatError("manifest", f"line {number} of {MANIFEST} is not a SHA-256 digest and a plain file name")
        if match[2] in found or match[2] == MANIFEST:
            raise FormatError("manifest", f"line {number} of {MANIFEST} repeats a file or names the list itself")
        found[match[2]] = bytes.fromhex(match[1])
    if len(found) > _MAX_FILES:
        raise FormatError("manifest", f"{MANIFEST} names {len(found)} files, at most {_MAX_FILES} are accepted")
    return found


def parse_metadata(document: bytes) -> ImageMetadata:
    """Read ``metadata.json``; unknown members are left alone.

    Raises:
        FormatError: ``image_metadata``, or a code of the JSON reader.
    """
    members = loads(_text(document, METADATA, "image_metadata"), what=METADATA, limit=_MAX_DOCUMENT)
    if not isinstance(members, dict):
        raise FormatError("image_metadata", f"{METADATA} is no object, the description of an image was expected")
    names = {key: members.get(key) for key in ("bios", "kernel", "initrd")}
    for key, name in names.items():
        if not isinstance(name, str) or not _is_plain(name):
            raise FormatError("image_metadata", f"{key} in {METADATA} is not the plain name of a file in its folder")
    cmdline, is_dev = members.get("cmdline"), members.get("is_dev")
    version, variant = members.get("version"), members.get("ovmf_variant")
    if not isinstance(cmdline, str):
        raise FormatError("image_metadata", f"cmdline in {METADATA} is not a text, kernel arguments were expected")
    if is_dev is not None and type(is_dev) is not bool:
        raise FormatError("image_metadata", f"is_dev in {METADATA} is neither true nor false")
    if version is not None and not isinstance(version, str):
        raise FormatError("image_metadata", f"version in {METADATA} is not a text")
    return ImageMetadata(
        **{key: str(name) for key, name in names.items()},
        cmdline=cmdline,
        version=version,
        is_dev=is_dev,
        has_known_firmware=_has_known_firmware(variant, version),
    )


def _has_known_firmware(variant: object, version: str | None) -> bool:
    """By the variant where it is said, else by dstack's rule: 0.5.10 to 0.5.x and from 0.6.1 on are newer."""
    if variant is not None:
        return variant == _KNOWN_VARIANT
    match = None if version is None else _VERSION.fullmatch(version)
    if match is None:
        return False
    number = tuple(int(part) for part in match.groups())
    return number < (0, 5, 10) or (0, 6, 0) <= number < (0, 6, 1)


def _is_plain(name: str) -> bool:
    """One name of a file in the folder itself: no separator, no leading dot."""
    return _NAME.fullmatch(name) is not None


def _text(data: bytes, what: str, code: str) -> str:
    if len(data) > _MAX_DOCUMENT:
        raise FormatError(code, f"{what} has {len(data)} bytes, at most {_MAX_DOCUMENT} are accepted")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(code, f"{what} is not UTF-8 at byte {error.start}") from None
