"""JSON read strictly: every refusal by its code, the exact slice of a member, and arbitrary input."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.event_log import parse_event_log
from teeverify.formats.strict_json import loads, member_text, same_json
from teeverify.limits import MAX_JSON_DEPTH, MAX_JSON_INT_DIGITS

from .attempts import Refused, attempt

CODES = {
    "json_too_large",
    "json_not_utf8",
    "json_syntax",
    "json_duplicate_key",
    "json_number",
    "json_too_deep",
    "json_surrogate",
}
LIMIT = 1 << 20


def read(data: bytes | str, limit: int = LIMIT) -> Any:
    return loads(data, what="the document", limit=limit)


def code_of(data: bytes | str, limit: int = LIMIT) -> str:
    with pytest.raises(FormatError) as refused:
        read(data, limit)
    return refused.value.code


def nested(depth: int, text: str = "1") -> str:
    return "[" * depth + text + "]" * depth


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a":1,"a":1}', "json_duplicate_key"),
        ('{"a":1,"\\u0061":2}', "json_duplicate_key"),
        ('{"x":{"a":1,"a":2}}', "json_duplicate_key"),
        ('[[[{"a":1,"b":2,"a":3}]]]', "json_duplicate_key"),
        ('{"":1,"":2}', "json_duplicate_key"),
        ("NaN", "json_number"),
        ("[Infinity]", "json_number"),
        ('{"a":-Infinity}', "json_number"),
        ("1e999", "json_number"),
        ("-1e999", "json_number"),
        ("[1.0e309]", "json_number"),
        ("1" * (MAX_JSON_INT_DIGITS + 1), "json_number"),
        ("-" + "1" * 100_000, "json_number"),
        ("1" * 100_000 + ".5", "json_number"),
        ("0." + "1" * 100_000, "json_number"),
        (nested(MAX_JSON_DEPTH), "json_too_deep"),
        ('{"a":' * MAX_JSON_DEPTH + "1" + "}" * MAX_JSON_DEPTH, "json_too_deep"),
        ('"\\ud800"', "json_surrogate"),
        ('"\\uDFFF"', "json_surrogate"),
        ('{"\\udc00":1}', "json_surrogate"),
        ('[[{"a":["\\ude00\\ud83d"]}]]', "json_surrogate"),
        ("", "json_syntax"),
        ("{", "json_syntax"),
        ("{} {}", "json_syntax"),
        ("{}x", "json_syntax"),
        ("[1,]", "json_syntax"),
        ('{"a":1,}', "json_syntax"),
        ("{'a':1}", "json_syntax"),
        ("{a:1}", "json_syntax"),
        ("01", "json_syntax"),
        ("+1", "json_syntax"),
        (".5", "json_syntax"),
        ("0x10", "json_syntax"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "json_syntax"),
        ("1\N{ARABIC-INDIC DIGIT ONE}", "json_syntax"),
        ('"a\nb"', "json_syntax"),
        ('"\x00"', "json_syntax"),
        ('"\\x41"', "json_syntax"),
        ("\N{NO-BREAK SPACE}{}", "json_syntax"),
        ("\x0b{}", "json_syntax"),
        ("{}\x00", "json_syntax"),
        ("// c\n{}", "json_syntax"),
        ("\ufeff{}", "json_syntax"),
    ],
)
def test_refusals(text: str, code: str) -> None:
    assert code_of(text) == code
    assert code_of(text.encode("utf-8")) == code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'"\xff"', "json_not_utf8"),
        (b"\xff\xfe{\x00}\x00", "json_not_utf8"),
        (b'"\xed\xa0\x80"', "json_not_utf8"),  # a surrogate written as UTF-8
        (b'"\xc0\xaf"', "json_not_utf8"),  # an overlong form
        (b"{\x00}\x00", "json_syntax"),  # UTF-16 without a mark, which json.loads would guess
        (b"\xef\xbb\xbf{}", "json_syntax"),
    ],
)
def test_bytes_must_be_utf8_without_mark(data: bytes, code: str) -> None:
    assert code_of(data) == code


def test_a_surrogate_that_is_in_the_text_itself_is_refused() -> None:
    assert code_of('"' + chr(0xD800) + '"') == "json_surrogate"


def test_a_pair_of_surrogate_escapes_is_one_character() -> None:
    assert read('"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_the_limit_counts_the_last_byte() -> None:
    assert read(b"[1]", limit=3) == [1]
    assert code_of(b"[1] ", limit=3) == "json_too_large"


def test_the_depth_limit_counts_the_last_level() -> None:
    assert read(nested(MAX_JSON_DEPTH - 1)) is not None
    assert read("1" * MAX_JSON_INT_DIGITS) == int("1" * MAX_JSON_INT_DIGITS)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":', "[[],"])
@pytest.mark.parametrize("closed", [False, True])
def test_a_depth_bomb_is_refused_at_once(opening: str, closed: bool) -> None:
    bomb = opening * 100_000
    if closed:
        bomb += "1" + "".join("]" if c == "[" else "}" for c in reversed(opening) if c in "[{") * 100_000
    started = time.perf_counter()
    assert code_of(bomb, limit=len(bomb)) in ("json_too_deep", "json_syntax")
    assert time.perf_counter() - started < 2


def test_a_number_bomb_is_refused_at_once() -> None:
    started = time.perf_counter()
    assert code_of("[" + "9" * 1_000_000 + "]") == "json_number"
    assert time.perf_counter() - started < 2


def test_refusals_hold_inside_a_double_encoded_string() -> None:
    inner = '[{"imr":0,"imr":3,"event_type":1,"digest":"","event":"","event_payload":""}]'
    outer = read(json.dumps({"event_log": inner}))
    with pytest.raises(FormatError) as refused:
        parse_event_log(outer["event_log"])
    assert refused.value.code == "json_duplicate_key"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    result = attempt(lambda: read(data))
    assert not isinstance(result, Refused) or result.code in CODES


json_text = st.text(alphabet=st.sampled_from('{}[]",:\\ \n0123456789-+.eEtrufalsn\ud800/aNI'), max_size=80)


@given(json_text)
def test_arbitrary_text_agrees_with_a_stricter_reading(text: str) -> None:
    value = attempt(lambda: read(text))
    if isinstance(value, Refused):
        assert value.code in CODES
        return
    assert same_json(value, json.loads(text))
    json.dumps(value, allow_nan=False).encode("utf-8")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 0, 2]), st.booleans())
def test_every_plain_value_is_read_back(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert same_json(read(text), value)
    assert same_json(read(text.encode()), value)


# --- member_text ----------------------------------------------------------------------------------------------------

MEMBER = '{ "b" : [1, "}"],\t"a":1.50e0 }'


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"m":' + MEMBER + ',"signature":"00"}', MEMBER),
        (' \r\n\t{ "signature" : "00" ,\n "m" \t:\n ' + MEMBER + " \n} ", MEMBER),
        ('{"\\u006d":' + MEMBER + "}", MEMBER),
        ('{"x":"\\"m\\":{\\"evil\\":1}","m":' + MEMBER + "}", MEMBER),
        ('{"x":{"m":{"evil":1}},"m":' + MEMBER + "}", MEMBER),
        ('{"x":["m",{"m":2}],"m":' + MEMBER + "}", MEMBER),
        ('{"m ":1,"M":2," m":3,"m":' + MEMBER + "}", MEMBER),
        ('{"\\"m\\":{}":1,"m":' + MEMBER + "}", MEMBER),
        ('{"\N{GRINNING FACE}":"\N{GRINNING FACE}","m":' + MEMBER + "}", MEMBER),
        ('{"m":1}', "1"),
        ('{"m": "x" }', '"x"'),
    ],
)
def test_member_text_is_the_exact_slice(document: str, expected: str) -> None:
    assert member_text(document, "m", what="the document") == expected
    assert same_json(read(document)["m"], read(expected))


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("[]", "json_syntax"),
        ("", "json_syntax"),
        ('"m"', "json_syntax"),
        ('{"x":nope}', "json_syntax"),
        ('{"x', "json_syntax"),
        ('{"x":' + "[" * 100_000, "json_syntax"),
        ('{"x":NaN,"m":1}', "json_syntax"),
        ("{}", "json_missing_member"),
        ('{"x":{"m":1}}', "json_missing_member"),
        ('{"x":"\\"m\\":1"}', "json_missing_member"),
    ],
)
def test_member_text_refuses(document: str, code: str) -> None:
    with pytest.raises(FormatError) as refused:
        member_text(document, "m", what="the document")
    assert refused.value.code == code


@given(st.dictionaries(st.text(max_size=6), json_values, min_size=1, max_size=5), st.sampled_from([None, 0, 3]))
def test_member_text_gives_every_member_of_any_object(members: dict[str, Any], indent: int | None) -> None:
    document = json.dumps(members, indent=indent)
    for key, value in members.items():
        sliced = member_text(document, key, what="the document")
        assert sliced in document
        assert same_json(json.loads(sliced), value)


# --- same_json ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), (1, 1.0), ([1], [True]), ({"a": 0}, {"a": False}), ({"a": 1}, {"b": 1})]
)
def test_same_json_tells_types_apart(one: Any, other: Any) -> None:
    assert not same_json(one, other)
    assert not same_json(other, one)
    assert same_json(one, one)


def test_same_json_ignores_the_order_of_keys_and_minds_that_of_entries() -> None:
    assert same_json({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1})
    assert not same_json([1, 2], [2, 1])
    assert not same_json([1], [1, 1])
