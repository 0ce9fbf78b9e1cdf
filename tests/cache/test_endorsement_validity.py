"""The end of an answer, read out of it, agrees with what cryptography reads; bad answers have none."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, unquote

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import NEAR_CAPTURES, capture_path
from teeverify.endorsements.validity import good_until
from teeverify.flow import Response
from teeverify.saved import SavedReport
from teeverify.testing import RECORDED_AT, NearSession

from .endorsed import JWKS, NRAS, report_of, spoiled, urls

LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


def _answers(report: SavedReport) -> dict[str, Response]:
    return {exchange.request.url: exchange.response for exchange in report.exchanges}


def _chain_ends(response: Response) -> list[datetime]:
    chains = [value for name, values in response.headers.items() if name.endswith("issuer-chain") for value in values]
    pems = [unquote(chain).encode() for chain in chains]
    return [one.not_valid_after_utc for pem in pems for one in x509.load_pem_x509_certificates(pem)]


def _expected(url: str, response: Response, at: datetime) -> datetime | None:
    """The same by other means."""
    if "pckcrl" in url or url.endswith(".der"):
        end = x509.load_der_x509_crl(response.body).next_update_utc
        assert end is not None
        return min([end, *_chain_ends(response)])
    if url == JWKS:
        import base64

        keys = json.loads(response.body)["keys"]
        leafs = [x509.load_der_x509_certificate(base64.b64decode(key["x5c"][0])) for key in keys]
        return min(leaf.not_valid_after_utc for leaf in leafs if leaf.not_valid_after_utc > at)
    inner = next(value for value in json.loads(response.body).values() if isinstance(value, dict))
    return min([datetime.fromisoformat(inner["nextUpdate"].replace("Z", "+00:00")), *_chain_ends(response)])


@pytest.mark.parametrize("url", urls(kept=True))
def test_ends_agree_with_another_reader(url: str) -> None:
    response = _answers(report_of())[url]
    end = good_until(url, response, at=RECORDED_AT)
    assert end == _expected(url, response, RECORDED_AT)
    assert end is not None
    assert end > RECORDED_AT


@pytest.mark.parametrize("name", NEAR_CAPTURES)
def test_ends_of_real_answers_agree_with_another_reader(name: str) -> None:
    report = SavedReport.load(capture_path(name))
    answers = {url: one for url, one in _answers(report).items() if "intel.com" in url or url == JWKS}
    assert len(answers) >= 5
    for url, response in answers.items():
        assert good_until(url, response, at=report.recorded_at) == _expected(url, response, report.recorded_at)


@pytest.mark.parametrize("url", urls(kept=True))
def test_the_end_is_exclusive(url: str) -> None:
    response = _answers(report_of())[url]
    end = good_until(url, response, at=RECORDED_AT)
    assert end is not None
    assert good_until(url, response, at=end - timedelta(seconds=1)) is not None
    at_end = good_until(url, response, at=end)
    assert at_end is None or (url == JWKS and at_end > end)


@pytest.mark.parametrize("url", urls(kept=True))
def test_only_status_200_has_an_end(url: str) -> None:
    response = _answers(report_of())[url]
    assert good_until(url, spoiled(response, status=206), at=RECORDED_AT) is None


@pytest.mark.parametrize("url", urls(kept=False))
def test_answers_about_one_session_have_no_end(url: str) -> None:
    assert good_until(url, _answers(report_of())[url], at=RECORDED_AT) is None


def test_a_short_lived_issuer_ends_the_answer() -> None:
    """A certificate of the key set, which lives two days, in place of the list's issuer."""
    url = next(url for url in urls(kept=True) if "pckcrl" in url)
    leaf = json.loads(_answers(report_of())[JWKS].body)["keys"][0]["x5c"][0]
    pem = f"-----BEGIN CERTIFICATE-----\n{leaf}\n-----END CERTIFICATE-----\n"
    response = spoiled(_answers(report_of())[url], headers={"sgx-pck-crl-issuer-chain": (quote(pem),)})
    assert good_until(url, response, at=RECORDED_AT) == datetime(2026, 6, 17, tzinfo=timezone.utc)


def _key_set(edit: Any) -> Response:
    response = _answers(report_of())[JWKS]
    document = json.loads(response.body)
    edit(document["keys"])
    return spoiled(response, body=json.dumps(document).encode())


@pytest.mark.parametrize(
    "edit",
    [
        lambda keys: keys.clear(),
        lambda keys: [key.pop("x5c") for key in keys],
        lambda keys: [key.update(x5c=[]) for key in keys],
        lambda keys: keys[0].update(x5c=["AAAA"]),
        lambda keys: keys[0].update(x="AAAA"),
        lambda keys: keys.append(keys[0]),
        lambda keys: [key.update(crv="P-256") for key in keys],
    ],
    ids=["empty", "no chains", "empty chains", "garbage", "bad key", "twice", "other curve"],
)
def test_a_key_set_without_usable_keys_has_no_end(edit: Any) -> None:
    assert good_until(JWKS, _key_set(edit), at=RECORDED_AT) is None


def test_old_keys_do_not_end_a_key_set() -> None:
    before = NearSession.cloud(gpus=1, at=RECORDED_AT - timedelta(days=10)).nras.key_set_answer().body
    mixed = _key_set(lambda keys: keys.extend(json.loads(before)["keys"]))
    ends = (datetime(2026, 6, 7, tzinfo=timezone.utc), datetime(2026, 6, 17, tzinfo=timezone.utc))
    assert good_until(JWKS, mixed, at=LONG_AGO) == ends[0]
    assert good_until(JWKS, mixed, at=RECORDED_AT) == ends[1]
    assert good_until(JWKS, mixed, at=ends[1]) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x30\x00",
        b"\x30\x02\x30\x00",
        b"\x30\x03\x30\x01\x02",
        bytes.fromhex("3012 3010 3000 3000 170d3235303130313030303030305a"),
        bytes.fromhex("3016 3014 3000 3000 0500 170d") + b"259901000000Z",
        bytes.fromhex("3016 3014 3000 3000 0500 170d") + b"250101000000+",
    ],
    ids=["empty", "nothing", "no fields", "cut", "one time", "no month", "no zone"],
)
def test_a_list_that_cannot_be_read_has_no_end(body: bytes) -> None:
    url = next(url for url in urls(kept=True) if url.endswith(".der"))
    assert good_until(url, Response(status=200, headers={}, body=body), at=LONG_AGO) is None


@pytest.mark.parametrize(
    ("time", "end"),
    [
        (b"\x17\x0d490101000000Z", datetime(2049, 1, 1, tzinfo=timezone.utc)),
        (b"\x17\x0d500101000000Z", None),
        (b"\x18\x0f20500101000000Z", datetime(2050, 1, 1, tzinfo=timezone.utc)),
        (b"\x18\x0d500101000000Z", None),
    ],
    ids=["2049", "1950", "2050", "wrong form"],
)
def test_the_two_forms_of_time(time: bytes, end: datetime | None) -> None:
    fields = b"\x30\x00\x30\x00\x05\x00" + time
    body = bytes([0x30, len(fields) + 2, 0x30, len(fields)]) + fields
    url = next(url for url in urls(kept=True) if url.endswith(".der"))
    assert good_until(url, Response(status=200, headers={}, body=body), at=LONG_AGO) == end


@pytest.mark.parametrize(("size", "kept"), [(1 << 19, True), (1 << 20, False)])
def test_an_answer_that_is_too_long_has_no_end(size: int, kept: bool) -> None:
    fields = b"\x30\x00\x30\x00\x05\x00\x17\x0d490101000000Z\x04\x83" + size.to_bytes(3, "big") + bytes(size)
    inner = b"\x30\x83" + len(fields).to_bytes(3, "big") + fields
    body = b"\x30\x83" + len(inner).to_bytes(3, "big") + inner
    url = next(url for url in urls(kept=True) if url.endswith(".der"))
    assert (good_until(url, Response(status=200, headers={}, body=body), at=LONG_AGO) is not None) is kept


@pytest.mark.parametrize("url", ["", "https://", "https://[bad", NRAS, "ftp://x/y", JWKS.replace("https", "http")])
def test_other_urls_have_no_end(url: str) -> None:
    assert good_until(url, _answers(report_of())[JWKS], at=RECORDED_AT) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_nothing_that_is_sent_raises(data: st.DataObject) -> None:
    url = data.draw(st.sampled_from(urls(kept=True)))
    good = _answers(report_of())[url]
    if data.draw(st.booleans()):
        body = bytearray(good.body)
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    else:
        body = bytearray(data.draw(st.binary(max_size=200)))
    headers = data.draw(
        st.sampled_from([good.headers, {}, dict.fromkeys(good.headers, ("%00-----BEGIN CERTIFICATE-----%ff",))])
    )
    end = good_until(url, spoiled(good, body=bytes(body), headers=headers), at=RECORDED_AT)
    assert end is None or end > RECORDED_AT
