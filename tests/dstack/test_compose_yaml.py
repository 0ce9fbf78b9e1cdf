"""YAML of compose files: what has one reading is read, what readers could take differently is refused."""

from __future__ import annotations

import time

import pytest

from teeverify.errors import FormatError
from teeverify.formats.compose_yaml import load_compose_yaml
from teeverify.limits import MAX_COMPOSE_FILE, MAX_COMPOSE_NODES


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: b", {"a": "b"}),
        ("---\na: b\n", {"a": "b"}),
        ("a: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
        ("{a: [1, '2', 3.0, 2001-01-01], b: {c: null}}", {"a": ["1", "2", "3.0", "2001-01-01"], "b": {"c": None}}),
        (
            "a: true\nb: False\nc: yes\nd: off\ne: ~\nf:",
            {"a": True, "b": False, "c": "yes", "d": "off", "e": None, "f": None},
        ),
        ('"im\\x61ge": x', {"image": "x"}),
        ("'1': x", {"1": "x"}),
        ("on: x", {"on": "x"}),
        ("a: |\n  b: c\n  d\n", {"a": "b: c\nd\n"}),
        ("a: >-\n  b\n  c\n", {"a": "b c"}),
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", {"x": {"a": "1", "b": "2"}, "y": {"a": "1", "b": "3"}}),
        (
            "x: &x {a: 1}\nz: &z {a: 2, c: 3}\ny: {<<: [*x, *z]}",
            {"x": {"a": "1"}, "z": {"a": "2", "c": "3"}, "y": {"a": "1", "c": "3"}},
        ),
        ("", None),
    ],
)
def test_what_has_one_reading(text: str, value: object) -> None:
    assert load_compose_yaml(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "a: b\n--- \nc: d",
        "a: b\n...\n---\n",
        "a: 1\na: 2",
        'image: a\n"im\\x61ge": b',
        "{a: 1, 'a': 2}",
        "1: a\n'1': b",
        "? [a]\n: b",
        "null: a",
        "true: a",
        "a: !!str b",
        "a: !!python/object/apply:os.system [x]",
        "a: !reset b",
        "a: ! b",
        "!!map {a: b}",
        "%TAG ! tag:example.com,2000:\n---\na: !x b",
        "a: !!binary aGk=",
        "=: a",
        "a: =",
        "<<: b",
        "<<: [b]",
        "'<<': {a: b}",
        "x: &x {a: 1}\ny: {a: 2, <<: *x}",
        "x: &x {a: 1}\ny: {<<: *x, <<: *x}",
        "x: &x {}\ny: {<<: *x, <<: *x}",
        "a:\tb:\tc",
        "a:\n\t- b",
        "a: b\0",
        "a: *b",
        "a: b # c\u2028privileged: true",
        "a: b\u2029c: d",
        "a: b\x85c: d",
        "a: b\rc: d",
        "\ufeffa: b",
        "a: [",
        "a: 'b",
        "@a: b",
    ],
)
def test_what_has_several_readings_or_none(text: str) -> None:
    with pytest.raises(FormatError) as refused:
        load_compose_yaml(text)
    assert refused.value.code == "compose_syntax"


_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    "text",
    [
        _BOMB,
        "a: &a [*a]",
        "a: &a {b: *a}",
        "[" * 5000,
        "{" * 5000,
        "[\n" * 5000,
        "- " * 5000,
        "? " * 5000,
        "".join("  " * depth + "a:\n" for depth in range(45)),
        "".join(f"k{i}: v\n" for i in range(MAX_COMPOSE_NODES)),
        "[" + "a," * (MAX_COMPOSE_FILE // 2 - 2) + "]",
        "a: " + "x" * MAX_COMPOSE_FILE,
    ],
    ids=range(12),
)
def test_what_is_too_large_or_too_deep_costs_little(text: str) -> None:
    started = time.process_time()
    with pytest.raises(FormatError) as refused:
        load_compose_yaml(text)
    assert refused.value.code == "compose_shape"
    assert time.process_time() - started < 5


def test_brackets_of_a_script_are_no_nesting() -> None:
    text = "a: |\n  if [[ a ]]; then " + "[[ b ]] && { c; }; " * 60 + "fi\n"
    value = load_compose_yaml(text)
    assert isinstance(value, dict)
    assert value["a"].startswith("if [[")
