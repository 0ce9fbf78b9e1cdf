"""``teeverify dstack measure``: what it prints, what it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from teeverify.cli import main
from teeverify.formats.dstack_measurement import rtmr0, rtmr1, rtmr2
from teeverify.formats.linux_kernel import kernel_digest
from teeverify.formats.tdvf import mrtd, parse_tdvf

from .encoders import TEMP_SECTIONS, firmware, image, kernel, list_files

ACPI = (b"\x0a" * 48, b"\x0b" * 48, b"\x0c" * 48)
TRIPLE = ",".join(digest.hex() for digest in ACPI)
INITRD = hashlib.sha384(b"initrd" * 1000).digest()
CMDLINE = "console=ttyS0 dstack.rootfs_hash=00ff"


class Command:
    """Runs the command and keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def text(self, *arguments: str | Path) -> str:
        self._capsys.readouterr()
        code = main(["dstack", "measure", *map(str, arguments)])
        shown = self._capsys.readouterr()
        assert (code, shown.err) == (0, "")
        return shown.out

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.text("--json", *arguments))
        assert document["schema"] == "teeverify.dstack-measure/v1"
        assert not set(document["registers"]) & set(document["not_computed"])
        return document

    def refusal(self, *arguments: str | Path) -> tuple[int, str]:
        self._capsys.readouterr()
        code = main(["dstack", "measure", *map(str, arguments)])
        shown = self._capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        return code, shown.err


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        ("2TiB", 2 << 40),
        ("192GiB", 192 << 30),
        ("2816MiB", 2816 << 20),
        ("1048576KiB", 1 << 30),
        ("4294967296", 4 << 30),
    ],
)
def test_rtmr0_of_a_shape(command: Command, memory: str, size: int) -> None:
    document = command.json("--memory", memory, "--acpi", TRIPLE)
    assert document["memory_size"] == size
    assert document["registers"] == {"rtmr0": rtmr0(size, *ACPI).hex()}
    assert set(document["not_computed"]) == {"mrtd", "mrtd_qemu_8", "rtmr1", "rtmr2"}
    assert document["image"] is None


def test_single_files(command: Command, tmp_path: Path) -> None:
    files = image(tmp_path)
    places: list[str | Path] = ["--ovmf", tmp_path / "ovmf.fd", "--kernel", tmp_path / "bzImage"]
    document = command.json(*places, "--initrd", tmp_path / "initramfs.cpio.gz", "--cmdline", CMDLINE)
    tdvf = parse_tdvf(files["ovmf.fd"])
    assert document["registers"] == {
        "mrtd": mrtd(tdvf, two_pass=False).hex(),
        "mrtd_qemu_8": mrtd(tdvf, two_pass=True).hex(),
        "rtmr1": rtmr1(kernel_digest(files["bzImage"], 6000, 1 << 40)).hex(),
        "rtmr2": rtmr2(CMDLINE, INITRD).hex(),
    }
    assert document["not_computed"] == {"rtmr0": "needs --memory and --acpi"}


def test_a_whole_image(command: Command, tmp_path: Path) -> None:
    image(tmp_path)
    document = command.json("--image", tmp_path, "--memory", "2TiB", "--acpi", TRIPLE)
    manifest = (tmp_path / "sha256sum.txt").read_bytes()
    assert document["image"] == {
        "os_image_hash": hashlib.sha256(manifest).hexdigest(),
        "version": "0.5.8",
        "is_dev": False,
    }
    assert set(document["registers"]) == {"mrtd", "mrtd_qemu_8", "rtmr0", "rtmr1", "rtmr2"}
    assert document["registers"]["rtmr2"] == rtmr2(CMDLINE, INITRD).hex()
    assert document["not_computed"] == {}


def test_the_text(command: Command, tmp_path: Path) -> None:
    image(tmp_path, is_dev=True, version="0.5.8\u202e")
    lines = command.text("--image", tmp_path, "--memory", "2GiB").splitlines()
    assert "is_dev         yes" in lines
    assert "version        0.5.8\\x202e" in lines
    assert "rtmr0          not computed: needs --memory and --acpi" in lines
    assert lines[-1] == "rtmr1 is that of 2 GiB of memory and of every size from 2816 MiB on."
    assert command.text("--image", tmp_path, "--memory", "1GiB").splitlines()[-1] == "rtmr1 is that of this size."


def test_rtmr1_depends_on_small_memory_only(command: Command, tmp_path: Path) -> None:
    image(tmp_path)
    sizes = ("1GiB", "2GiB", "2815MiB", "2816MiB", "2TiB")
    found = {size: command.json("--image", tmp_path, "--memory", size)["registers"]["rtmr1"] for size in sizes}
    assert len({found[size] for size in ("2GiB", "2816MiB", "2TiB")}) == 1
    assert len(set(found.values())) == 3


def test_a_dev_image_differs_in_rtmr2_only(command: Command, tmp_path: Path) -> None:
    image(tmp_path / "prod")
    image(tmp_path / "dev", cmdline=CMDLINE.replace("00ff", "00fe"), is_dev=True)
    prod, dev = (command.json("--image", tmp_path / name)["registers"] for name in ("prod", "dev"))
    assert {name for name in prod if prod[name] != dev[name]} == {"rtmr2"}


@pytest.mark.parametrize("changes", [{"version": "0.5.10"}, {"version": None}, {"ovmf_variant": "stable202505"}])
def test_rtmr0_of_firmware_that_is_not_known(command: Command, tmp_path: Path, changes: dict[str, Any]) -> None:
    image(tmp_path, **changes)
    document = command.json("--image", tmp_path, "--memory", "2TiB", "--acpi", TRIPLE)
    assert "edk2-stable202505" in document["not_computed"]["rtmr0"]


def test_rtmr0_of_firmware_that_accepts_other_memory(command: Command, tmp_path: Path) -> None:
    files = image(tmp_path)
    files["ovmf.fd"] = firmware((*TEMP_SECTIONS[:3], (0, 0, 0x82_0000, 0x1_0000, 3, 0)))
    (tmp_path / "ovmf.fd").write_bytes(files["ovmf.fd"])
    list_files(tmp_path, files)
    document = command.json("--image", tmp_path, "--memory", "2TiB", "--acpi", TRIPLE)
    assert "other memory ranges" in document["not_computed"]["rtmr0"]


@pytest.mark.parametrize("name", ["ovmf.fd", "bzImage", "initramfs.cpio.gz", "metadata.json"])
def test_a_file_that_was_changed(command: Command, tmp_path: Path, name: str) -> None:
    image(tmp_path)
    with (tmp_path / name).open("ab") as file:
        file.write(b" ")
    code, sentence = command.refusal("--image", tmp_path)
    assert code == 4
    assert f"{name} does not have the SHA-256" in sentence


@pytest.mark.parametrize("name", ["ovmf.fd", "bzImage", "initramfs.cpio.gz", "metadata.json"])
def test_a_file_that_is_not_listed(command: Command, tmp_path: Path, name: str) -> None:
    files = image(tmp_path)
    list_files(tmp_path, {other: data for other, data in files.items() if other != name})
    code, sentence = command.refusal("--image", tmp_path)
    assert code == 4
    assert f"{name} is not in sha256sum.txt" in sentence


@pytest.mark.parametrize("name", ["ovmf.fd", "sha256sum.txt", "metadata.json"])
@pytest.mark.parametrize("kind", ["link", "missing", "folder"])
def test_what_is_no_regular_file(command: Command, tmp_path: Path, name: str, kind: str) -> None:
    image(tmp_path)
    place = tmp_path / name
    place.rename(tmp_path / "elsewhere")
    if kind == "link":
        place.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        place.mkdir()
    code, sentence = command.refusal("--image", tmp_path)
    assert code == 2
    assert "is not a regular file" in sentence


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--memory", "2TB"], 2),
        (["--memory", "two"], 2),
        (["--memory", "-1"], 2),
        (["--memory", "0"], 2),
        (["--memory", "1.5GiB"], 2),
        (["--memory", "2TiB "], 2),
        (["--memory", "2199023255553"], 2),
        (["--memory", "1180591620717411303424"], 2),
        (["--memory", "9999999TiB"], 2),
        (["--memory", "٢TiB"], 2),
        (["--memory", "2TiB", "--acpi", "0a"], 2),
        (["--memory", "2TiB", "--acpi", f"{TRIPLE},{TRIPLE[:96]}"], 2),
        (["--memory", "2TiB", "--acpi", TRIPLE.replace("0a", "zz")], 2),
        (["--memory", "2TiB", "--acpi", TRIPLE[:-2]], 2),
        (["--image", "nowhere"], 2),
        (["--kernel", "nowhere"], 2),
        (["--image", "nowhere", "--kernel", "x"], 2),
    ],
)
def test_arguments_that_are_refused(command: Command, arguments: list[str], code: int) -> None:
    assert command.refusal(*arguments)[0] == code


def test_files_that_are_none(command: Command, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    assert command.refusal("--ovmf", tmp_path / "text")[0] == 4
    assert command.refusal("--kernel", tmp_path / "text", "--initrd", tmp_path / "text")[0] == 4
    (tmp_path / "old").write_bytes(kernel(xloadflags=0))
    assert "xloadflags" in command.refusal("--kernel", tmp_path / "old", "--initrd", tmp_path / "text")[1]


def test_the_group_alone_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dstack"]) == 2
    assert "COMMAND" in capsys.readouterr().err
