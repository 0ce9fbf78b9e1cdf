"""Base images that are pinned by ACPI tables: values, TOML, digest, diff, lint."""

from datetime import datetime, timezone
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_samples import TEXT, image, octets, pins, policy, reg, text

from teeverify.errors import PolicyError
from teeverify.policy import BaseImage, Policy, ReferenceValues
from teeverify.policy_diff import diff
from teeverify.policy_lint import lint
from teeverify.policy_pins import AcpiTables
from teeverify.policy_toml import to_toml

NOW = datetime(2026, 7, 1, tzinfo=timezone.utc)
KEY = "pins.model.base_images[0]"


def acpi(byte: int = 0x51, **changes: Any) -> AcpiTables:
    values: dict[str, Any] = {"label": f"shape {byte}", "loader": reg(byte), "rsdp": reg(0x61), "tables": reg(0x71)}
    return AcpiTables(**(values | changes))


def any_shape(*tables: AcpiTables, **changes: Any) -> BaseImage:
    return image(**{"rtmr0": None, "acpi": tables or (acpi(),), **changes})


def model(*images: BaseImage) -> Policy:
    return policy(pins={"model": pins(base_images=images)})


TABLE = f'{{label = "8 GPUs", loader = "{"c1" * 48}", rsdp = "{"c2" * 48}", tables = "{"c3" * 48}"}}'
SHAPES = TEXT.replace(f'rtmr0 = "{"a2" * 48}", ', f"acpi = [{TABLE}], ")


def refusal(old: str, new: str) -> str:
    assert old in SHAPES
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(SHAPES.replace(old, new, 1))
    return str(caught.value)


def test_it_is_read() -> None:
    (first, second) = Policy.from_toml(SHAPES).pins["model"].base_images or ()
    tables = AcpiTables(label="8 GPUs", loader=reg(0xC1), rsdp=reg(0xC2), tables=reg(0xC3))
    assert first == BaseImage(label="one", mrtd=reg(0xA1), rtmr1=reg(0xA3), rtmr2=reg(0xA4), acpi=(tables,))
    assert first.registers == (reg(0xA1), None, reg(0xA3), reg(0xA4), None)
    assert first.shapes == {tables.digests}
    assert (second.acpi, second.shapes) == (None, frozenset())


def test_it_counts_as_a_pinned_base_image() -> None:
    assert pins(base_images=(any_shape(),)).is_pinned
    assert not ReferenceValues(base_images=(any_shape(),)).is_pinned
    assert ReferenceValues(base_images=(any_shape(rtmr3=reg(9)),)).is_pinned


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        (f"acpi = [{TABLE}], ", "", f"{KEY}.rtmr0 is missing"),
        ("acpi = [", f'rtmr0 = "{"a2" * 48}", acpi = [', f"{KEY}.rtmr0 stands beside acpi"),
        (f"acpi = [{TABLE}]", "acpi = []", f"{KEY}.acpi is an empty list"),
        (f"acpi = [{TABLE}]", f"acpi = {TABLE}", f"{KEY}.acpi is a table"),
        (f"acpi = [{TABLE}]", 'acpi = ["c1"]', f"{KEY}.acpi[0] is a string"),
        (f"acpi = [{TABLE}]", f"acpi = [{TABLE}, {TABLE}]", f"{KEY}.acpi[1] repeats acpi[0]"),
        (f"acpi = [{TABLE}]", f"acpi = [{TABLE}, {TABLE.replace('8', '9')}]", f"{KEY}.acpi[1] repeats acpi[0]"),
        ("acpi = [", "acpis = [", f"{KEY}.acpis is an unknown key"),
        ('label = "8 GPUs", ', "", f"{KEY}.acpi[0].label is missing"),
        ('label = "8 GPUs"', "label = 8", f"{KEY}.acpi[0].label is an integer"),
        ('label = "8 GPUs"', 'memory = 1, label = "8 GPUs"', f"{KEY}.acpi[0].memory is an unknown key"),
        (f', tables = "{"c3" * 48}"', "", f"{KEY}.acpi[0].tables is missing"),
        ("c2" * 48, "c2" * 32, f"{KEY}.acpi[0].rsdp is 32 bytes long"),
        ("c1" * 48, "zz" * 48, f"{KEY}.acpi[0].loader is not an even number of hex digits"),
        (f'rtmr2 = "{"a4" * 48}"', 'rtmr3 = ""', f"{KEY}.rtmr2 is missing"),
    ],
)
def test_refusals_name_the_key(old: str, new: str, start: str) -> None:
    assert refusal(old, new).startswith(start)


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"acpi": ()}, "acpi is an empty list"),
        ({"acpi": [acpi()]}, "acpi is a list"),
        ({"acpi": (acpi(), "x")}, "acpi[1] is a string"),
        ({"acpi": (acpi(), acpi(label="other"))}, "acpi[1] repeats acpi[0]"),
        ({"acpi": (acpi(),), "rtmr0": reg(1)}, "rtmr0 stands beside acpi"),
        ({"acpi": None}, "rtmr0 is missing"),
    ],
)
def test_values_that_are_refused(changes: dict[str, Any], start: str) -> None:
    with pytest.raises(PolicyError) as caught:
        any_shape(**changes)
    assert str(caught.value).startswith(start)


@pytest.mark.parametrize("name", ["loader", "rsdp", "tables"])
def test_digests_of_another_length(name: str) -> None:
    values: list[Any] = [b"", b"\x01" * 47, "01" * 48, None]
    for value in values:
        with pytest.raises(PolicyError, match=name):
            acpi(**{name: value})


def test_the_same_image_twice() -> None:
    one, two = any_shape(acpi(1), acpi(2)), any_shape(acpi(2), acpi(1), label="again")
    with pytest.raises(PolicyError, match="repeats"):
        model(one, two)
    assert model(any_shape(acpi(1)), any_shape(acpi(2))).digest != model(one).digest


def test_digests_of_older_policies_are_untouched() -> None:
    assert policy().digest == GOLDEN


GOLDEN = "e925256a05d3375f2dd51db29532157fc7f3b99357b18339a0d75306df093878"
"""The digest of this policy before base images could be pinned by ACPI tables."""


@pytest.mark.parametrize(("old", "new"), [("c1" * 48, "d1" * 48), ("c3" * 48, "d3" * 48), ("8 GPUs", "9 GPUs")])
def test_every_part_is_in_the_digest(old: str, new: str) -> None:
    assert Policy.from_toml(SHAPES.replace(old, new)).digest != Policy.from_toml(SHAPES).digest
    assert Policy.from_toml(SHAPES).digest != Policy.from_toml(TEXT).digest


def test_order_has_no_meaning() -> None:
    one, two = model(any_shape(acpi(1), acpi(2))), model(any_shape(acpi(2), acpi(1)))
    assert one.digest == two.digest
    assert diff(one, two) == ()


def test_written_and_read_again() -> None:
    before = model(any_shape(acpi(1), acpi(2, label='a "quoted" \\ name')), image(3))
    again = Policy.from_toml(to_toml(before))
    assert (again, again.digest) == (before, before.digest)


def directions(before: Policy, after: Policy) -> list[tuple[str, str]]:
    changes = diff(before, after)
    assert {change.key for change in changes} <= {"pins.model.base_images"}
    return [(change.direction, change.sentence) for change in changes]


def test_one_more_shape_is_looser() -> None:
    small, large = model(any_shape(acpi(1))), model(any_shape(acpi(1), acpi(2)))
    ((direction, sentence),) = directions(small, large)
    assert direction == "looser"
    assert "rtmr0 of any memory size with ACPI tables 'shape 2' 7171717171717171..." in sentence
    assert [d for d, _ in directions(large, small)] == ["stricter"]


def test_from_one_machine_to_every_memory_size() -> None:
    changes = directions(model(image()), model(any_shape()))
    assert [direction for direction, _ in changes] == ["looser", "different"]
    assert "which an entry by ACPI tables may accept" in changes[1][1]
    assert [direction for direction, _ in directions(model(any_shape()), model(image()))] == ["looser", "stricter"]


def test_another_software_beside_is_no_cover() -> None:
    changes = directions(model(image()), model(any_shape(rtmr2=reg(9))))
    assert [direction for direction, _ in changes] == ["looser", "stricter"]


def test_dropping_rtmr3_is_looser_and_nothing_else() -> None:
    strict, loose = model(any_shape(rtmr3=reg(7))), model(any_shape())
    assert [direction for direction, _ in directions(strict, loose)] == ["looser"]
    assert [direction for direction, _ in directions(loose, strict)] == ["stricter"]


def test_other_labels() -> None:
    ((direction, sentence),) = directions(model(any_shape()), model(any_shape(acpi(label="new"))))
    assert direction == "different"
    assert "ACPI tables 'shape 81' now 'image 1' with ACPI tables 'new'" in sentence


def test_the_same_shapes_in_other_entries() -> None:
    apart, together = model(any_shape(acpi(1)), any_shape(acpi(2))), model(any_shape(acpi(1), acpi(2)))
    assert directions(apart, together) == [
        ("different", "lists the same base image for role model in another grouping")
    ]


def _tables() -> st.SearchStrategy[AcpiTables]:
    return st.builds(AcpiTables, label=text(3), loader=octets(48), rsdp=octets(48), tables=st.just(reg(1)))


def _images() -> st.SearchStrategy[BaseImage]:
    shapes = st.lists(_tables(), min_size=1, max_size=3, unique_by=lambda tables: tables.digests).map(tuple)
    two = st.sampled_from([reg(1), reg(2)])
    either = st.one_of(st.fixed_dictionaries({"rtmr0": two}), st.fixed_dictionaries({"acpi": shapes}))
    return st.builds(
        lambda label, rtmr2, rtmr3, kind: image(label=label, rtmr2=rtmr2, rtmr3=rtmr3, **{"rtmr0": None, **kind}),
        text(3),
        two,
        st.none() | two,
        either,
    )


def _policies() -> st.SearchStrategy[Policy]:
    images = st.lists(_images(), min_size=1, max_size=3, unique_by=lambda one: (one.registers, one.shapes))
    return images.map(lambda found: model(*found))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(_policies(), _policies())
def test_the_difference_is_empty_exactly_when_the_digests_are_equal(one: Policy, other: Policy) -> None:
    assert (diff(one, other) == ()) is (one.digest == other.digest)
    assert diff(one, one) == ()
    assert Policy.from_toml(to_toml(one)).digest == one.digest


def test_lint_of_an_image_pinned_both_ways() -> None:
    assert not [line for line in lint(model(any_shape()), NOW) if "ACPI" in line]
    (line,) = [line for line in lint(model(any_shape(), image(label="exact")), NOW) if "ACPI" in line]
    assert "'image 1' by ACPI tables, and as 'exact' by rtmr0" in line
    other = attrs.evolve(image(label="exact"), rtmr1=reg(9))
    assert not [line for line in lint(model(any_shape(), other), NOW) if "ACPI" in line]
