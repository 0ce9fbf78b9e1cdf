"""Attacks on the reading itself: every bit of a quote, PEM tricks, shared caches, and the edges of time."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from urllib.parse import quote as percent_encode

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teeverify.checks.catalogue import get_check
from teeverify.claims.problem import Problem
from teeverify.claims.tdx import TdxClaims
from teeverify.crypto.certificates import CertificateMemo, load_pem_chain
from teeverify.derivation.tdx import TdxDerivation, read_hex_quote
from teeverify.endorsements.intel_pcs import QE_IDENTITY, ROOT_CRL, pck_crl_name, tcb_info_name
from teeverify.errors import FormatError
from teeverify.flow import Response
from teeverify.formats.intel_collateral import parse_tcb_info
from teeverify.testing.intel import IntelPki
from teeverify.testing.keys import KeyRing
from teeverify.verdict import Status

from .world import NOW, TDX_CHECKS, World, failures, judge, passes, policy_of, subject_of, unevaluated

Chain = Callable[[bytes, bytes, bytes], bytes]
GOOD = set(TDX_CHECKS)
CHAIN_AT = 48 + 584 + 4 + 590
TCB_INFO = tcb_info_name(World().platform.fmspc)


def derive(derivation: TdxDerivation, raw: bytes) -> TdxClaims:
    return derivation.derive(read_hex_quote(raw.hex(), what="the quote"))


# --- every bit ------------------------------------------------------------------------------------------------------


def test_no_byte_before_the_chain_can_be_changed() -> None:
    """Header, report, lengths, signatures, keys, the enclave's report: one flipped bit in each byte."""
    world = World()
    raw, answers = world.quote(), world.answers()
    for place in range(CHAIN_AT):
        changed = bytearray(raw)
        changed[place] ^= 1 << place % 8
        results = judge(derive(world.derivation(answers=answers), bytes(changed)))
        assert passes(results) != GOOD, place
        assert "tdx.quote_signature" not in passes(results) or failures(results), place


def test_no_byte_of_the_chain_can_be_changed_but_white_space() -> None:
    world = World()
    raw, answers = world.quote(), world.answers()
    end = len(raw.rstrip(b"\0"))
    for place in range(CHAIN_AT, end, 3):
        changed = bytearray(raw)
        changed[place] ^= 1 << (place % 6)
        results = judge(derive(world.derivation(answers=answers), bytes(changed)))
        if raw[place : place + 1] != b"\n":
            assert passes(results) != GOOD, place


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from([TCB_INFO, QE_IDENTITY, pck_crl_name("platform"), ROOT_CRL]), st.floats(0, 0.999), st.data())
def test_no_byte_of_the_answers_can_be_changed(name: str, where: float, data: st.DataObject) -> None:
    world = World()
    answer = world.answers()[name]
    assert isinstance(answer, Response)
    body = bytearray(answer.body)
    place = int(where * len(body))
    body[place] = data.draw(st.integers(0, 255).filter(lambda value: value != body[place]))
    same_digits = bytes(body).lower() == answer.body.lower() and place > len(body) - 140  # hex of the signature
    world.spoil[name] = evolve(answer, body=bytes(body))
    assert passes(world.judge()) != GOOD or same_digits


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60), st.floats(0, 1), st.integers(0, 80))
def test_spliced_quotes_are_judged_without_a_crash(garbage: bytes, where: float, cut: int) -> None:
    world = World()
    raw = world.quote()
    place = int(where * len(raw))
    results = judge(derive(world.derivation(), raw[:place] + garbage + raw[place + cut :]))
    assert set(results) == GOOD


# --- PEM ------------------------------------------------------------------------------------------------------------

ONE_LINE: Chain = lambda leaf, ca, root: b"".join(part.replace(b"\n", b"") for part in (leaf, ca, root))  # noqa: E731
SAME_READING: dict[str, Chain] = {
    "CRLF": lambda leaf, ca, root: (leaf + ca + root).replace(b"\n", b"\r\n"),
    "no line breaks": ONE_LINE,
    "NUL between": lambda leaf, ca, root: leaf + b"\0\0" + ca + b"\0" + root,
    "NUL before": lambda leaf, ca, root: b"\0" + leaf + ca + root,
    "no closing NUL": lambda leaf, ca, root: leaf + ca + root,
    "many closing NULs": lambda leaf, ca, root: leaf + ca + root + bytes(300),
    "white space round": lambda leaf, ca, root: b" \r\n" + leaf + b"\t" + ca + b"\n \n" + root + b"\n\0",
}
OTHER_READING: dict[str, Chain] = {
    "text before": lambda leaf, ca, root: b"subject=x\n" + leaf + ca + root,
    "text between": lambda leaf, ca, root: leaf + b"x\n" + ca + root,
    "text after": lambda leaf, ca, root: leaf + ca + root + b"x",
    "text after NUL": lambda leaf, ca, root: leaf + ca + root + b"\0x",
    "vertical tab": lambda leaf, ca, root: leaf + b"\x0b" + ca + root,
    "byte order mark": lambda leaf, ca, root: b"\xef\xbb\xbf" + leaf + ca + root,
    "space in base64": lambda leaf, ca, root: leaf[:60] + b" " + leaf[60:] + ca + root,
    "NUL in base64": lambda leaf, ca, root: leaf[:60] + b"\0" + leaf[60:] + ca + root,
    "PEM header": lambda leaf, ca, root: leaf.replace(b"-----\n", b"-----\nProc-Type: 4\n\n", 1) + ca + root,
    "other label": lambda leaf, ca, root: b"-----BEGIN X-----\nAAAA\n-----END X-----\n" + leaf + ca + root,
    "trusted label": lambda leaf, ca, root: leaf.replace(b"N CERT", b"N TRUSTED CERT") + ca + root,
    "no padding": lambda leaf, ca, root: leaf + ca + root.replace(b"=", b""),
    "empty block": lambda leaf, ca, root: (
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" + leaf + ca + root
    ),
    "unclosed": lambda leaf, ca, root: leaf + ca + root.replace(b"-----END", b"----END"),
    "nothing": lambda leaf, ca, root: b"",
    "nine": lambda leaf, ca, root: leaf + ca * 7 + root,
}


def with_chain(world: World, chain: Chain) -> World:
    parts = [part.pem.encode() for part in (world.leaf, world.pki.pck_ca, world.pki.root)]
    world.quote_changes["chain_text"] = chain(*parts)
    return world


@pytest.mark.parametrize("what", SAME_READING)
def test_spellings_of_a_chain_that_both_readers_take_for_the_same(what: str) -> None:
    assert passes(with_chain(World(), SAME_READING[what]).judge()) == GOOD


@pytest.mark.parametrize("what", OTHER_READING)
def test_spellings_of_a_chain_that_are_refused(what: str) -> None:
    results = with_chain(World(), OTHER_READING[what]).judge()
    assert passes(results) <= {"tdx.quote_kind"}


def disguised(pem: bytes) -> bytes:
    """A PEM block whose content is the base64 text of another PEM block."""
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    inner = pem[len(begin) : pem.index(end)]
    return begin + b"\n" + base64.b64encode(inner) + b"\n" + end + b"\n"


def raw_der(pem: bytes) -> bytes:
    body = pem.split(b"-----")[2]
    return b"-----BEGIN CERTIFICATE-----" + base64.b64decode(body) + b"-----END CERTIFICATE-----\n"


def test_what_was_read_before_does_not_make_a_disguised_certificate_readable() -> None:
    world = World()
    derivation = world.derivation()
    assert passes(judge(derive(derivation, world.quote()))) == GOOD
    with_chain(world, lambda leaf, ca, root: leaf + ca + disguised(root))
    assert passes(judge(derive(world.derivation(), world.quote()))) != GOOD
    assert passes(judge(derive(derivation, world.quote()))) != GOOD


def test_a_disguised_root_in_an_issuer_chain() -> None:
    world = World()
    answer = world.answers()[TCB_INFO]
    assert isinstance(answer, Response)
    chain = world.pki.tcb_signer.pem + disguised(world.pki.root.pem.encode()).decode()
    world.spoil[TCB_INFO] = evolve(
        answer, headers={**answer.headers, "tcb-info-issuer-chain": (percent_encode(chain, safe=""),)}
    )
    assert passes(world.judge()) != GOOD


@pytest.mark.parametrize("disguise", [disguised, raw_der])
def test_reading_a_chain_does_not_depend_on_what_was_read_before(disguise: Callable[[bytes], bytes]) -> None:
    pem = World().pki.root.pem.encode()
    nothing: tuple[CertificateMemo | None, ...] = ({}, None)
    for memo in nothing:
        with pytest.raises(FormatError):
            load_pem_chain(disguise(pem), what="the chain", memo=memo)
    remembered: CertificateMemo = {}
    load_pem_chain(pem, what="the chain", memo=remembered)
    with pytest.raises(FormatError):
        load_pem_chain(disguise(pem), what="the chain", memo=remembered)


# --- several quotes in one session ----------------------------------------------------------------------------------


def test_a_foreign_chain_with_the_same_serial_numbers_and_names_gains_nothing() -> None:
    good = World()
    foreign = World(pki=IntelPki(KeyRing("intruder")))
    foreign.pki.keys.serial = good.pki.keys.serial  # type: ignore[method-assign]
    twin = IntelPki(foreign.pki.keys)
    assert twin.pck_ca.certificate.serial_number == good.pki.pck_ca.certificate.serial_number
    foreign.pki = twin
    derivation = good.derivation()
    for _ in range(2):
        assert passes(judge(derive(derivation, good.quote()))) == GOOD
        results = judge(derive(derivation, foreign.quote()))
        assert failures(results)["tdx.quote_signature"] == "pck_chain_root"
        assert failures(results)["tcb.collateral_current"] == "malformed"  # its CA did not sign the list


def test_two_platforms_are_judged_by_their_own_collateral() -> None:
    good, old = World(), World()
    old.platform = evolve(old.platform, label="old", fmspc=bytes.fromhex("b0c06f000000"), ppid=b"\x77" * 16)
    levels = old.pcs.tcb_info(old.fmspc)["tcbLevels"]
    levels[0]["tcbStatus"] = "OutOfDate"
    old.pcs.tcb_changes["tcbLevels"] = levels
    answers = {**old.answers(), **good.answers()}
    for order in ((good, old), (old, good)):
        derivation = good.derivation(answers=answers)
        for world in order:
            reasons = failures(judge(derive(derivation, world.quote())))
            assert ("tcb.status" in reasons) is (world is old)
    missing = good.derivation(answers=good.answers())
    assert passes(judge(derive(missing, good.quote()))) == GOOD
    assert unevaluated(judge(derive(missing, old.quote())))["tcb.collateral_current"] == "not_asked"


def test_one_platform_does_not_lend_another_its_freedom_from_revocation() -> None:
    world = World()
    other = World(platform=evolve(world.platform, label="other", ppid=b"\x77" * 16))
    world.pcs.revoked_pcks = (other.leaf,)
    derivation = world.derivation()
    for _ in range(2):
        assert passes(judge(derive(derivation, world.quote()))) == GOOD
        assert failures(judge(derive(derivation, other.quote())))["tcb.not_revoked"] == "certificate_revoked"


def test_a_good_quote_does_not_vouch_for_another_with_the_same_chain() -> None:
    world, forged = World(), World()
    forged.quote_changes["sign_with"] = world.pki.keys.p256("x")
    derivation = world.derivation()
    for raw, good in ((world.quote(), True), (forged.quote(), False), (world.quote(), True)):
        assert (passes(judge(derive(derivation, raw))) == GOOD) is good


@pytest.mark.parametrize("spoiled_first", [True, False])
def test_a_malformed_quote_neither_spoils_nor_gains_by_one_with_the_same_chain(spoiled_first: bool) -> None:
    world, spoiled = World(), World()
    spoiled.layout = evolve(spoiled.layout, inner_type=4)
    alone = {raw: judge(derive(world.derivation(), raw)) for raw in (world.quote(), spoiled.quote())}
    derivation = world.derivation()
    order = (spoiled, world) if spoiled_first else (world, spoiled)
    for each in order:
        assert judge(derive(derivation, each.quote())) == alone[each.quote()]


def test_deriving_the_same_twice_gives_the_same() -> None:
    world = World()
    derivation = world.derivation()
    assert derive(derivation, world.quote()) == derive(derivation, world.quote()) == world.claims()


def test_what_a_process_remembers_of_an_answer_does_not_outlive_its_bytes() -> None:
    world = World()
    assert passes(world.judge()) == GOOD
    answer = world.answers()[TCB_INFO]
    assert isinstance(answer, Response)
    world.spoil[TCB_INFO] = evolve(answer, body=answer.body.replace(b'"OutOfDate"', b'"UpToDate"'))
    assert failures(world.judge())["tcb.collateral_current"] == "refused"
    del world.spoil[TCB_INFO]
    assert passes(world.judge()) == GOOD


# --- the edges of time ----------------------------------------------------------------------------------------------

FIRST, LAST = datetime.min.replace(tzinfo=timezone.utc), datetime.max.replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "at", [FIRST, FIRST + timedelta(seconds=10), datetime(1969, 12, 31, tzinfo=timezone.utc),
           datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2038, 1, 20, tzinfo=timezone.utc), LAST]
)  # fmt: skip
def test_a_verdict_for_any_time(at: datetime) -> None:
    results = World().judge(at=at)
    assert failures(results)
    assert not passes(results) & {"tdx.quote_signature", "tcb.collateral_current"}


def test_microseconds_and_zones_do_not_matter() -> None:
    for at in (NOW + timedelta(microseconds=999_999), NOW.astimezone(timezone(timedelta(hours=14)))):
        assert passes(World().judge(at=at)) == GOOD


EXTREME_DATES = [
    ("0001-01-01T00:00:00Z", "0001-01-20T00:00:00Z"),
    ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
    ("9999-12-20T00:00:00Z", "9999-12-31T23:59:59Z"),
    ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"),
]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("issued", "next_update"), EXTREME_DATES)
def test_collateral_of_any_date_is_refused(issued: str, next_update: str, signed: bool) -> None:
    world = World()
    world.pcs.tcb_changes |= {"issueDate": issued, "nextUpdate": next_update}
    if not signed:
        answer = world.answers()[TCB_INFO]
        assert isinstance(answer, Response)
        world.spoil[TCB_INFO] = evolve(
            answer, body=answer.body.replace(b'"signature":"', b'"signature":"00')[:-4] + b'"}'
        )
    for at in (NOW, LAST):
        assert "tcb.collateral_current" in failures(world.judge(at=at))


def test_collateral_of_the_first_day_judged_on_the_first_day() -> None:
    world = World()
    world.pcs.tcb_changes |= {"issueDate": "0001-01-01T00:00:00Z", "nextUpdate": "0001-01-20T00:00:00Z"}
    assert "tcb.collateral_current" not in passes(world.judge(at=FIRST + timedelta(seconds=10)))


@pytest.mark.parametrize(
    ("issued", "next_update"),
    [("0001-01-01T00:00:00Z", "0001-01-20T00:00:00Z"), ("2026-07-01T00:00:00Z", "9999-12-31T23:59:59Z")],
)
def test_a_saved_report_with_extreme_dates_gets_a_verdict(issued: str, next_update: str) -> None:
    """Nobody needs to sign such an answer: whoever writes a saved report can put it there."""
    world = World()
    world.pcs.tcb_changes |= {"issueDate": issued, "nextUpdate": next_update}
    subject = evolve(subject_of(world.claims()), recorded_at=NOW)
    assert get_check("saved.recorded_at").judge(subject, policy_of()).status in (Status.FAIL, Status.PASS)


def test_issue_dates_with_digits_of_another_script_are_no_dates() -> None:
    answer = World().answers()[TCB_INFO]
    assert isinstance(answer, Response)
    good = parse_tcb_info(answer.body, answer.headers)
    assert good.issue_date == NOW - timedelta(hours=1)
    world = World()
    world.pcs.tcb_changes["issueDate"] = "\N{ARABIC-INDIC DIGIT TWO}026-07-01T11:00:00Z"
    collateral = world.claims().collateral
    assert not isinstance(collateral, Problem)
    assert isinstance(collateral.tcb_info, Problem)
