"""Reading the files that ``teeverify dstack measure`` computes with: single ones, or an unpacked image folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from ..errors import ConfigurationError, FormatError
from ..formats.dstack_image import MANIFEST, METADATA, ImageMetadata, os_image_hash, parse_manifest, parse_metadata

__all__ = ["ImageFiles", "read_image", "read_regular"]

_MAX_FILE: Final = 1 << 30
"""The largest file of a published image that is measured, the initrd, has tens of MiB."""
_MAX_DOCUMENT: Final = 64 << 10


@frozen(kw_only=True, repr=False)
class ImageFiles:
    """An image folder: what its documents say, and the files that they name, each held against the list of digests.

    ``os_image_hash`` is 32 bytes; ``ovmf``, ``kernel`` and ``initrd`` are contents.
    """

    os_image_hash: bytes
    metadata: ImageMetadata
    ovmf: bytes
    kernel: bytes
    initrd: bytes


def read_regular(path: Path, *, limit: int = _MAX_FILE) -> bytes:
    """The bytes of one regular file that is no symbolic link.

    Raises:
        ConfigurationError: there is no such file, or it cannot be read.
        FormatError: ``file_size`` where it is longer than ``limit``.
    """
    if path.is_symlink() or not path.is_file():
        raise ConfigurationError(f"{str(path)!r} is not a regular file, a file of a dstack image was expected: name it")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"the file {str(path)!r} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise FormatError("file_size", f"the file {str(path)!r} has more than {limit} bytes, at most that are accepted")
    return data


def read_image(folder: Path) -> ImageFiles:
    """Read an unpacked image. Every file that is used must have the digest that ``sha256sum.txt`` gives.

    Raises:
        ConfigurationError: a file is missing or cannot be read.
        FormatError: ``file_unlisted``, ``file_digest``, ``file_size``, or a code of the documents' readers.
    """
    manifest = read_regular(folder / MANIFEST, limit=_MAX_DOCUMENT)
    listed = parse_manifest(manifest)
    metadata = parse_metadata(_listed_file(folder, METADATA, listed, limit=_MAX_DOCUMENT))
    return ImageFiles(
        os_image_hash=os_image_hash(manifest),
        metadata=metadata,
        ovmf=_listed_file(folder, metadata.bios, listed),
        kernel=_listed_file(folder, metadata.kernel, listed),
        initrd=_listed_file(folder, metadata.initrd, listed),
    )


def _listed_file(folder: Path, name: str, listed: Mapping[str, bytes], *, limit: int = _MAX_FILE) -> bytes:
    expected = listed.get(name)
    if expected is None:
        raise FormatError("file_unlisted", f"{name} is not in {MANIFEST}, so nothing says what it must contain")
    data = read_regular(folder / name, limit=limit)
    if hashlib.sha256(data).digest() != expected:
        raise FormatError("file_digest", f"{name} does not have the SHA-256 that {MANIFEST} gives for it: unpack again")
    return data
