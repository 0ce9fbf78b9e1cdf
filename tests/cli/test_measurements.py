"""Chutes' own list of measurements, read: whole tuples or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from teeverify.errors import FormatError
from teeverify.limits import MAX_DIRECTORY, MAX_ENDORSEMENT_BODY
from teeverify.providers.chutes_measurements import MeasurementList, read_measurements
from teeverify.testing import ChutesSession

from .measurement_lists import Row, body, changed, row

SESSION = ChutesSession.build(instances=2, gpus=1)
ONE, OTHER = (instance.guest.boot for instance in SESSION.instances)
GOOD = row(ONE)
ZERO = "0" * 96


def read(*rows: object) -> MeasurementList:
    return read_measurements(body(list(rows)))


def left_out(*rows: object) -> tuple[str, ...]:
    found = read(*rows)
    assert found.images == ()
    assert len(found.left_out) == len(rows)
    return found.left_out


def test_a_row_is_a_whole_tuple() -> None:
    (found,) = read(GOOD).images
    assert found.image.registers == (ONE.mr_td, *ONE.registers())
    assert (found.image.label, found.gpu_count, found.also) == ("sek8s 9.1.0 2xh200 [test]", 2, ())


@pytest.mark.parametrize(
    "members",
    [
        {"runtime_rtmrs": {name.lower(): value.upper() for name, value in GOOD["runtime_rtmrs"].items()}},
        {"mrtd": GOOD["mrtd"].lower()},
        {"tee_type": "tdx"},
        {"tee_type": None},
        {"boot_rtmrs": None},
        {"fingerprint": "ab" * 32, "provider": "someone", "unheard_of": [1]},
    ],
)
def test_spellings_and_newer_fields_change_nothing(members: Row) -> None:
    assert read(changed(GOOD, **members)) == read(GOOD)


_RUNTIME: list[tuple[Any, str]] = [
    (None, "runtime_rtmrs"),
    ([], "runtime_rtmrs"),
    ({}, "RTMR0 to RTMR3"),
    ({name: value for name, value in GOOD["runtime_rtmrs"].items() if name != "RTMR3"}, "RTMR0 to RTMR3"),
    ({**GOOD["runtime_rtmrs"], "RTMR4": "ab" * 48}, "RTMR0 to RTMR3"),
    ({**GOOD["runtime_rtmrs"], "rtmr0": GOOD["runtime_rtmrs"]["RTMR0"]}, "RTMR0 to RTMR3"),
    ({**GOOD["runtime_rtmrs"], "RTMR1": "ab" * 32}, "rtmr1"),
    ({**GOOD["runtime_rtmrs"], "RTMR1": "zz" * 48}, "rtmr1"),
    ({**GOOD["runtime_rtmrs"], "RTMR2": "0x" + "ab" * 47}, "rtmr2"),
    ({**GOOD["runtime_rtmrs"], "RTMR2": None}, "rtmr2"),
    ({**GOOD["runtime_rtmrs"], "RTMR0": ZERO}, "rtmr0 is zero"),
    ({**GOOD["runtime_rtmrs"], "RTMR3": ZERO}, "running file system is not measured"),
]


@pytest.mark.parametrize(("registers", "words"), _RUNTIME)
def test_runtime_registers_that_are_none(registers: Any, words: str) -> None:
    (sentence,) = left_out(changed(GOOD, runtime_rtmrs=registers))
    assert sentence.startswith("row 1 (sek8s 9.1.0 2xh200 [test]): ")
    assert words in sentence


def test_registers_of_the_boot_phase_never_stand_in() -> None:
    without = {name: value for name, value in GOOD.items() if name != "runtime_rtmrs"}
    without["boot_rtmrs"] = GOOD["runtime_rtmrs"]
    assert "runtime_rtmrs" in left_out(without)[0]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"mrtd": None}, "mrtd is missing"),
        ({"mrtd": "ab" * 47}, "94 characters"),
        ({"mrtd": "ab" * 49}, "98 characters"),
        ({"mrtd": ZERO}, "mrtd is zero"),
        ({"mrtd": 7}, "mrtd"),
        ({"tee_type": "sev-snp"}, '"sev-snp", tdx was expected'),
        ({"tee_type": "TDX"}, "tdx was expected"),
        ({"tee_type": "\x1b[2J"}, "\\u001b"),
        ({"tee_type": ["tdx"]}, "tee_type is no text"),
        ({"gpu_count": 0}, "gpu_count"),
        ({"gpu_count": 33}, "gpu_count"),
        ({"gpu_count": True}, "gpu_count"),
        ({"gpu_count": "8"}, "gpu_count"),
    ],
)
def test_rows_that_are_left_out(members: Row, words: str) -> None:
    (sentence,) = left_out(changed(GOOD, **members))
    assert words in sentence
    assert sentence.isprintable()


@pytest.mark.parametrize(
    "name", ["", " x", 'a"b', "a\nb", "a\\b", "x" * 65, "." * 9, "x" + "." * 9, "\u202ea", None, 3]
)
def test_names_that_could_mislead_are_not_shown(name: Any) -> None:
    for members in ({"name": name}, {"version": name}):
        assert left_out(changed(GOOD, **members)) == ("row 1: it has no version and name of a usual form",)


@pytest.mark.parametrize("entry", [None, 1, "row", [], True])
def test_a_row_that_is_no_object(entry: object) -> None:
    assert left_out(entry) == ("row 1: it is not a JSON object",)


def test_one_bad_row_costs_no_other() -> None:
    found = read(changed(GOOD, mrtd=None), row(OTHER, name="other"), changed(GOOD, tee_type="sev-snp"))
    assert [one.image.mrtd for one in found.images] == [OTHER.mr_td]
    assert [sentence.split()[1] for sentence in found.left_out] == ["1", "3"]


def test_rows_that_contradict_each_other_under_one_name() -> None:
    sentences = left_out(GOOD, row(OTHER), row(ONE))
    assert all("something else under the same name" in sentence for sentence in sentences)
    left_out(GOOD, changed(GOOD, gpu_count=4))
    left_out(GOOD, changed(GOOD, runtime={"RTMR3": ZERO}))


def test_rows_that_contradict_each_other_about_the_same_registers() -> None:
    sentences = left_out(GOOD, changed(GOOD, name="other", gpu_count=4))
    assert all("several gpu_count" in sentence for sentence in sentences)


def test_the_same_tuple_twice_is_proposed_once() -> None:
    assert read(GOOD, GOOD) == read(GOOD)
    (found,) = read(changed(GOOD, name="first", gpu_count=None), GOOD, changed(GOOD, name="third")).images
    assert found.image.label == "sek8s 9.1.0 first"
    assert found.also == ("sek8s 9.1.0 2xh200 [test]", "sek8s 9.1.0 third")
    assert found.gpu_count == 2


_NO_LISTS = [
    (b"", "json_syntax"),
    (b"<html>", "json_syntax"),
    (b"\xff[]", "json_not_utf8"),
    (b"[{}", "json_syntax"),
    (b'{"measurements": []}', "measurements_shape"),
    (b"null", "measurements_shape"),
    (b'[{"mrtd": 1, "mrtd": 2}]', "json_duplicate_key"),
    (b"[" * 99 + b"]" * 99, "json_too_deep"),
    (b"[NaN]", "json_number"),
    (b"[" + b"0," * MAX_DIRECTORY + b"0]", "measurements_shape"),
    (b"[" + b" " * MAX_ENDORSEMENT_BODY + b"]", "json_too_large"),
]


@pytest.mark.parametrize(("document", "code"), _NO_LISTS, ids=range(len(_NO_LISTS)))
def test_what_is_no_list(document: bytes, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_measurements(document)
    assert caught.value.code == code


def test_an_empty_list_has_nothing() -> None:
    assert read() == MeasurementList(images=(), left_out=())


def test_a_long_list() -> None:
    rows = [changed(GOOD, name=f"n{index}", runtime={"RTMR0": f"{index + 1:096x}"}) for index in range(700)]
    slim = [{name: value for name, value in one.items() if name != "boot_rtmrs"} for one in rows]
    assert len(read(*slim).images) == 700
