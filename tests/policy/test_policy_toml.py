"""The TOML form: reading, refusing with the key path of the file, and writing back."""

import os
import time
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_samples import REORDERED, SPKI, TEXT, captured_policies, policies, reg

from teeverify.errors import PolicyError
from teeverify.limits import MAX_POLICY
from teeverify.policy import BaseImage, GpuPolicy, Policy, TcbPolicy, Waiver
from teeverify.policy_toml import to_toml


def refusal(text: str | bytes) -> str:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(text)
    assert "expected" in str(caught.value) or "accepted" in str(caught.value) or "dots" in str(caught.value)
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def test_everything_is_read() -> None:
    policy = Policy.from_toml(TEXT)
    assert (policy.name, policy.provider, policy.valid_until) == ("sample", "near", date(2026, 12, 31))
    assert policy.tcb == TcbPolicy(
        accept=("UpToDate", "SWHardeningNeeded"),
        allow_advisories=("INTEL-SA-01036",),
        min_eval_number=19,
        grace_days=7,
    )
    assert policy.gpu == GpuPolicy(require=True, min_count=8, arch=("HOPPER", "BLACKWELL"), nras="when_present")
    assert policy.instances == "any"
    model = policy.pins["model"]
    assert model.base_images is not None
    assert model.base_images[1] == BaseImage(
        label="two", mrtd=reg(0xB1), rtmr0=reg(0xB2), rtmr1=reg(0xB3), rtmr2=reg(0xB4), rtmr3=None
    )
    assert model.kms_roots == (SPKI,)
    assert model.signing_keys == (b"\x06" * 20, b"\x07" * 32, b"\x08" * 64)
    assert model.pcrs is None
    assert policy.pins["enclave"].pcrs == ({"pcr0": reg(0x0A), "pcr1": reg(0x0B)},)
    assert policy.waivers == (
        Waiver(check="channel.tls_spki", role="model", reason="the key was not recorded", expires=date(2026, 9, 30)),
        Waiver(check="gpu.nras_token", reason="NVIDIA is not asked"),
    )


def test_text_and_bytes_are_the_same() -> None:
    assert Policy.from_toml(TEXT.encode()) == Policy.from_toml(TEXT)


def test_order_and_case_have_no_meaning() -> None:
    assert Policy.from_toml(REORDERED).digest == Policy.from_toml(TEXT).digest


def test_defaults_spelt_out_mean_the_same() -> None:
    short = 'name = "n"\nprovider = "near"\nvalid_until = 2026-12-31\n[pins.model]\ncompose = ["' + "01" * 32 + '"]\n'
    long = (
        short + '[tcb]\naccept = ["UpToDate"]\nallow_advisories = []\nmin_eval_number = 0\ngrace_days = 0\n'
        '[gpu]\nrequire = true\nmin_count = 1\narch = ["HOPPER"]\nnras = "required"\n[instances]\nmode = "all"\n'
    )
    assert Policy.from_toml(short).digest == Policy.from_toml(long).digest
    assert Policy.from_toml("waive = []\n" + short).waivers == ()


MUTATIONS = [
    ('name = "sample"', 'name = "other"'),
    ('provider = "near"', 'provider = "chutes"'),
    ("valid_until = 2026-12-31", "valid_until = 2026-12-30"),
    ('"UpToDate", "SWHardeningNeeded"', '"UpToDate"'),
    ('["INTEL-SA-01036"]', "[]"),
    ("min_eval_number = 19", "min_eval_number = 18"),
    ("grace_days = 7", "grace_days = 8"),
    ("require = true", "require = false"),
    ("min_count = 8", "min_count = 7"),
    ('["HOPPER", "BLACKWELL"]', '["HOPPER"]'),
    ('"when_present"', '"required"'),
    ('mode = "any"', 'mode = "all"'),
    ("a3" * 48, "a5" * 48),
    ('label = "two"', 'label = "2"'),
    ("01" * 48, "10" * 48),
    ("03" * 20, "30" * 20),
    ("04" * 32, "40" * 32),
    ("11" * 64, "12" * 64),
    ("05" * 32, "50" * 32),
    ("06" * 20, "60" * 20),
    ("09" * 32, "90" * 32),
    ("0a" * 48, "a0" * 48),
    ('check = "channel.tls_spki"', 'check = "tcb.status"'),
    ('role = "model"\n', ""),
    ("the key was not recorded", "no key"),
    ("expires = 2026-09-30\n", ""),
    ("[pins.enclave]", "[pins.instance]"),
]


@pytest.mark.parametrize(("old", "new"), MUTATIONS)
def test_every_part_is_in_the_digest(old: str, new: str) -> None:
    assert Policy.from_toml(changed(old, new)).digest != Policy.from_toml(TEXT).digest


def test_an_added_rtmr3_is_in_the_digest() -> None:
    text = changed('label = "one",', f'label = "one", rtmr3 = "{"a6" * 48}",')
    assert Policy.from_toml(text).digest != Policy.from_toml(TEXT).digest


REFUSALS = [
    # unknown keys, at each level
    ('name = "sample"', 'name = "sample"\ncolour = 1', "colour is an unknown key"),
    ('name = "sample"', 'nmae = "sample"', "nmae is an unknown key"),
    ("grace_days = 7", "grace = 7", "tcb.grace is an unknown key"),
    ("min_count = 8", "count = 8", "gpu.count is an unknown key"),
    ('mode = "any"', 'mood = "any"', "instances.mood is an unknown key"),
    ("[pins.enclave]", "[pins.enclaves]", "pins.enclaves is an unknown role"),
    ("tls_spki = ", "tls_spkis = ", "pins.model.tls_spkis is an unknown key"),
    ('label = "two",', 'label = "two", rtmr4 = "00",', "pins.model.base_images[1].rtmr4 is an unknown key"),
    ("pcr1 = ", "pcr99 = ", "pins.enclave.pcrs[0].pcr99 is an unknown key"),
    ('role = "model"', 'roles = "model"', "waive[0].roles is an unknown key"),
    ('name = "sample"', '"na\\nme" = 1\nname = "sample"', '"na\\nme" is an unknown key'),
    # missing keys
    ('name = "sample"\n', "", "name is missing"),
    ('provider = "near"\n', "", "provider is missing"),
    ("valid_until = 2026-12-31\n", "", "valid_until is missing"),
    ('label = "two", ', "", "pins.model.base_images[1].label is missing"),
    (f', rtmr2 = "{"b4" * 48}"', "", "pins.model.base_images[1].rtmr2 is missing"),
    ('check = "gpu.nras_token"\n', "", "waive[1].check is missing"),
    ('reason = "NVIDIA is not asked"\n', "", "waive[1].reason is missing"),
    # wrong types
    ('name = "sample"', "name = 1", "name is an integer"),
    ("valid_until = 2026-12-31", 'valid_until = "2026-12-31"', "valid_until is a string"),
    ("valid_until = 2026-12-31", "valid_until = 2026-12-31T00:00:00Z", "valid_until is a date with a time"),
    ("valid_until = 2026-12-31", "valid_until = 12:00:00", "valid_until is a time"),
    ('["UpToDate", "SWHardeningNeeded"]', '"UpToDate"', "tcb.accept is a string"),
    ('["UpToDate", "SWHardeningNeeded"]', "[1]", "tcb.accept[0] is an integer"),
    ('["UpToDate", "SWHardeningNeeded"]', '[["UpToDate"]]', "tcb.accept[0] is a list"),
    ('["INTEL-SA-01036"]', "true", "tcb.allow_advisories is a boolean"),
    ("min_eval_number = 19", "min_eval_number = true", "tcb.min_eval_number is a boolean"),
    ("min_eval_number = 19", "min_eval_number = 19.0", "tcb.min_eval_number is a float"),
    ("grace_days = 7", 'grace_days = "7"', "tcb.grace_days is a string"),
    ("require = true", "require = 1", "gpu.require is an integer"),
    ("min_count = 8", "min_count = true", "gpu.min_count is a boolean"),
    ('nras = "when_present"', "nras = true", "gpu.nras is a boolean"),
    ('mode = "any"', "mode = 1", "instances.mode is an integer"),
    (f'["{"04" * 32}"]', f'"{"04" * 32}"', "pins.model.compose is a string"),
    (f'"{"04" * 32}"', "4", "pins.model.compose[0] is an integer"),
    (f'[{{pcr0 = "{"0a" * 48}", pcr1 = "{"0b" * 48}"}}]', '["00"]', "pins.enclave.pcrs[0] is a string"),
    ('role = "model"', "role = 1", "waive[0].role is an integer"),
    ("expires = 2026-09-30", 'expires = "2026-09-30"', "waive[0].expires is a string"),
    # wrong values
    ('"SWHardeningNeeded"', '"Revoked"', 'tcb.accept[1] is "Revoked"'),
    ('"SWHardeningNeeded"', '"UpToDate"', "tcb.accept[1] repeats accept[0]"),
    ("INTEL-SA-01036", "INTEL-SA-1036", 'tcb.allow_advisories[0] is "INTEL-SA-1036"'),
    ("min_eval_number = 19", "min_eval_number = -1", "tcb.min_eval_number is -1"),
    ("grace_days = 7", "grace_days = 366", "tcb.grace_days is 366"),
    ("min_count = 8", "min_count = 0", "gpu.min_count is 0"),
    ('"HOPPER", "BLACKWELL"', '"AMPERE"', 'gpu.arch[0] is "AMPERE"'),
    ('"when_present"', '"sometimes"', 'gpu.nras is "sometimes"'),
    ('mode = "any"', 'mode = "most"', 'instances.mode is "most"'),
    ('check = "gpu.nras_token"', 'check = "gpu.token"', 'waive[1].check is "gpu.token", which no check has'),
    ('check = "gpu.nras_token"', 'check = "tdx.debug_off"', "waive[1].check is tdx.debug_off, which is mandatory"),
    ('reason = "NVIDIA is not asked"', 'reason = " "', "waive[1].reason is blank"),
    ('role = "model"', 'role = "modle"', 'waive[0].role is "modle"'),
    # pins: length, hex, duplicates, emptiness
    ("a3" * 48, "a3" * 47, "pins.model.base_images[0].rtmr1 is 47 bytes long"),
    ("a3" * 48, "zz" * 48, "pins.model.base_images[0].rtmr1 is not an even number of hex digits"),
    ("a3" * 48, "0x" + "a3" * 47, "pins.model.base_images[0].rtmr1 is not an even number of hex digits"),
    ("02" * 48, "02" * 47, "pins.model.mr_seam[1] is 47 bytes long"),
    ("02" * 48, "01" * 48, "pins.model.mr_seam[1] repeats mr_seam[0]"),
    ("03" * 20, "03" * 32, "pins.model.app_ids[0] is 32 bytes long"),
    ("04" * 32, "04" * 20, "pins.model.compose[0] is 20 bytes long"),
    ("05" * 32, "05" * 48, "pins.model.os_images[0] is 48 bytes long"),
    ("06" * 20, "06" * 33, "pins.model.signing_keys[0] is 33 bytes long"),
    ("09" * 32, "09" * 31, "pins.model.tls_spki[0] is 31 bytes long"),
    (SPKI.hex(), SPKI.hex()[:-2], "pins.model.kms_roots[0] does not start with the DER header of its length"),
    (SPKI.hex(), "04" + "11" * 64, "pins.model.kms_roots[0] does not start with the DER header of its length"),
    (SPKI.hex(), "30" * 601, "pins.model.kms_roots[0] is 1202 characters long"),
    ("0b" * 48, "0b" * 32, "pins.enclave.pcrs[0].pcr1 is 32 bytes long"),
    (f'["{"04" * 32}"]', "[]", "pins.model.compose is an empty list"),
    (f'[{{pcr0 = "{"0a" * 48}", pcr1 = "{"0b" * 48}"}}]', "[{}]", "pins.enclave.pcrs[0] is an empty table"),
    ("[pins.enclave]", "[pins.gateway]\n[pins.enclave]", "pins.gateway pins nothing"),
    # TOML itself
    ('name = "sample"', 'name = "sample', "the policy is not TOML"),
    ('name = "sample"', 'name = "a"\nname = "b"', "the policy is not TOML"),
    ("grace_days = 7", f"grace_days = {'7' * 5000}", "the policy is not TOML"),
    ("valid_until = 2026-12-31", "valid_until = 2026-02-30", "the policy is not TOML"),
    ('name = "sample"', f"x = {'[' * 100_000}", "the policy is nested too deeply"),
]


@pytest.mark.parametrize(("old", "new", "start"), REFUSALS)
def test_refusals_name_the_key(old: str, new: str, start: str) -> None:
    assert refusal(changed(old, new)).startswith(start)


HEAD = 'name = "n"\nprovider = "near"\nvalid_until = 2026-12-31\n'


@pytest.mark.parametrize(
    ("rest", "start"),
    [
        ("", "pins is missing"),
        ("[pins]\n", "pins is empty"),
        ("pins = 1\n", "pins is an integer"),
        ("pins = []\n", "pins is a list"),
        ("[pins]\nmodel = 1\n", "pins.model is an integer"),
        ("[pins.model]\n", "pins.model pins nothing"),
        ("[pins.model]\nbase_images = []\n", "pins.model.base_images is an empty list"),
        ("[pins.model]\nbase_images = [1]\n", "pins.model.base_images[0] is an integer"),
        ("tcb = 1\n[pins.model]\n", "tcb is an integer"),
        ("gpu = []\n[pins.model]\n", "gpu is a list"),
        ('instances = "all"\n[pins.model]\n', "instances is a string"),
        ("[waive]\n[pins.model]\ncompose = ['" + "01" * 32 + "']\n", "waive is a table"),
        ("waive = [1]\n[pins.model]\ncompose = ['" + "01" * 32 + "']\n", "waive[0] is an integer"),
    ],
)
def test_wrong_tables(rest: str, start: str) -> None:
    assert refusal(HEAD + rest).startswith(start)


def test_a_misspelt_key_gets_a_suggestion() -> None:
    assert "did you mean min_eval_number?" in refusal(changed("min_eval_number", "min_eval_numbr"))
    assert "did you mean gpu.nras_token?" in refusal(changed("gpu.nras_token", "gpu.nras_tokens"))


def test_input_that_is_no_text() -> None:
    assert refusal(b"name = '\xff'").startswith("the policy is not UTF-8 at byte 8")
    assert refusal(b" " * (MAX_POLICY + 1)).startswith(f"the policy has more than {MAX_POLICY} bytes")
    with pytest.raises(PolicyError, match="the policy is a table"):
        Policy.from_toml({})  # type: ignore[arg-type]


def test_a_long_dotted_key_costs_nothing() -> None:
    start = time.perf_counter()
    assert "more than 64 dots" in refusal("a." * 100_000 + "a = 1")
    assert time.perf_counter() - start < 1


def test_load(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(TEXT, encoding="utf-8")
    assert Policy.load(file) == Policy.load(str(file)) == Policy.from_toml(TEXT)


def test_load_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError, match=r"none\.toml\" does not exist, a policy file was expected"):
        Policy.load("none.toml")
    with pytest.raises(PolicyError, match="is a directory, a policy file was expected"):
        Policy.load(tmp_path)
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.load("a\0b")
    bad = Path("bad.toml")
    bad.write_text(changed("a3" * 48, "a3"), encoding="utf-8")
    with pytest.raises(PolicyError, match=r"bad\.toml\": pins\.model\.base_images\[0\]\.rtmr1 is 1 bytes long"):
        Policy.load(bad)
    bad.write_bytes(b"#" * (MAX_POLICY + 1))
    with pytest.raises(PolicyError, match=r"bad\.toml\": the policy has more than"):
        Policy.load(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="is not UTF-8 at byte 0"):
        Policy.load(bad)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no endless file")
def test_load_reads_no_more_than_the_cap() -> None:
    with pytest.raises(PolicyError, match="has more than"):
        Policy.load("/dev/zero")


# --- writing back ---------------------------------------------------------------------------------------------------


@given(policies())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_round_trip(policy: Policy) -> None:
    again = Policy.from_toml(to_toml(policy))
    assert again == policy
    assert again.digest == policy.digest


def test_round_trip_of_awkward_text() -> None:
    policy = Policy.from_toml(changed('name = "sample"', 'name = "a \\"b\\" \\\\ é 😀 # no comment"'))
    assert policy.name == 'a "b" \\ é 😀 # no comment'
    assert Policy.from_toml(to_toml(policy)) == policy


def test_comments_cannot_become_policy() -> None:
    policy = Policy.from_toml(TEXT)
    comments = {
        "tcb.accept": "seen\n[gpu]\nrequire = false",
        "pins.model.compose[0]": "\r\n]\nos_images = [",
        "waive[0]": "\u2028x",
    }
    text = to_toml(policy, header=("one", "", 'two\nname = "three"'), comments=comments)
    assert text.startswith('# one\n#\n# two name = "three"\nname = "sample"\n')
    assert "# seen [gpu] require = false\naccept = " in text
    assert Policy.from_toml(text) == policy


# --- anything at all ------------------------------------------------------------------------------------------------


def policy_or_error(source: str | bytes) -> None:
    try:
        made = Policy.from_toml(source)
    except PolicyError:
        return
    assert Policy.from_toml(to_toml(made)).digest == made.digest


@given(st.binary(max_size=300) | st.text(max_size=300))
@settings(deadline=None)
def test_any_input_is_a_policy_or_a_policy_error(source: str | bytes) -> None:
    policy_or_error(source)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_any_change_of_bytes_is_a_policy_or_a_policy_error(data: st.DataObject) -> None:
    source = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(source) - 1))
        length = data.draw(st.integers(0, 30))
        source[at : at + length] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"\n", b"]", b"[", b'"', b"=1\n"])
        )
    policy_or_error(bytes(source))


VALUES = ["1", "-1", "true", '""', '"x"', "[]", "[1]", "{}", "{a = 1}", "1.5", "nan", "2026-01-01", "12:00:00", "[[]]"]


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_any_change_of_a_value_is_a_policy_or_a_policy_error(data: st.DataObject) -> None:
    lines = TEXT.splitlines()
    places = [
        index for index, line in enumerate(lines) if " = " in line and not line.startswith(" ") and "[" not in line
    ]
    place = data.draw(st.sampled_from(places))
    key = lines[place].split(" = ")[0]
    lines[place] = f"{data.draw(st.sampled_from([key, 'unknown']))} = {data.draw(st.sampled_from(VALUES))}"
    policy_or_error("\n".join(lines))


# --- policies of real captures --------------------------------------------------------------------------------------

CAPTURED = captured_policies()
UNPINNED = {"tinfoil-cloud-2026-06-29"}
"""Pins nothing (the format has no pin for that hardware), so it cannot be built."""
NO_WORKLOAD = {"tinfoil-direct-2026-06-29"}
"""Pins a base image without RTMR3 and no compose document."""

needs_captures = pytest.mark.skipif(not CAPTURED, reason="no captures: TEEVERIFY_CAPTURES names no such folder")


@needs_captures
@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_captured_policies(path: Path) -> None:
    if path.stem in UNPINNED:
        with pytest.raises(PolicyError, match="pins is missing"):
            Policy.load(path)
        return
    policy = Policy.load(path)
    assert all(values.is_pinned is (path.stem not in NO_WORKLOAD) for values in policy.pins.values())
    assert Policy.from_toml(to_toml(policy)).digest == policy.digest
    assert Policy.from_toml(shuffled(path.read_text(encoding="utf-8"))).digest == policy.digest


def shuffled(text: str) -> str:
    """The same document with its sections in reverse order."""
    head, *sections = text.split("\n[")
    # [[waive]] splits as "[waive]]..."; a section stays whole either way.
    return "\n[".join([head, *reversed(sections)]) + "\n"
