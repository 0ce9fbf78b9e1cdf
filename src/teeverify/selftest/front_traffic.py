"""A saved session with RedPill, NanoGPT, Venice or a vllm-proxy taken apart, in the shapes of dstack and NEAR."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from ..claims.problem import Problem
from ..errors import ConfigurationError, FormatError
from ..flow import run
from ..policy import Policy
from ..providers.front_session import session_flow
from ..providers.front_wire import Front, FrontAsked, shape_of
from ..providers.report_records import read_report
from ..saved import SavedReport
from .report_traffic import ReportTraffic, copies_of, records_of
from .traffic import NotingTransport, rivals_of

__all__ = ["SHAPES", "FrontTraffic"]

SHAPES: Final = ("dstack", "near")
"""Shapes of a front's report that a self-test can alter."""
_TWINS: Final[Mapping[str, str]] = {
    "intel_quote": "quote",
    "signing_public_key": "signing_key",
    "request_nonce": "nonce",
}
"""Members that some fronts and builds of the proxy show a second time, by the name under which they are judged."""


@frozen(kw_only=True)
class FrontTraffic(ReportTraffic):
    """One saved session with a front that is VERIFIED."""

    asked: FrontAsked
    wire: Front = field(repr=False)

    @classmethod
    def read(cls, report: SavedReport, policy: Policy, front: Front) -> FrontTraffic:
        """Take a session apart that was VERIFIED under the policy; of another one, parts may be missing.

        Raises:
            FormatError: ``not_front_session`` when the report holds no answer to a report request.
            ConfigurationError: the report has a shape that a self-test cannot alter.
        """
        asked = _our_request(report, front)
        with_nras = policy.gpu.nras != "ignore"
        transport = NotingTransport(report)
        flow = session_flow(asked, front=front, nonce=report.nonce, model=report.model, with_nras=with_nras, headers={})
        run(flow, transport)
        used = tuple(sorted(transport.used))
        place = next(place for place in used if report.exchanges[place].request.url == asked.url)
        content = report.exchanges[place].response.body
        shape = _shape(content)
        if shape not in SHAPES:
            raise ConfigurationError(
                f"there is no self-test for reports of {front.provider} in the shape {shape!r}, "
                f"only in {' and '.join(map(repr, SHAPES))}"
            )
        text = content.decode("utf-8")
        body = json.loads(text)
        return cls(
            report=report,
            policy=policy,
            asked=asked,
            wire=front,
            body=body,
            front=place,
            used=used,
            records=tuple(records_of(body, through_gateway=shape == "near")),
            copies=dict(copies_of(body, through_gateway=shape == "near")),
            rivals=rivals_of(report, used),
            text=text,
            twins=_TWINS,
        )


def _our_request(report: SavedReport, front: Front) -> FrontAsked:
    for exchange in report.exchanges:
        request = exchange.request
        if request.method == "GET" and exchange.response.status == 200 and front.asks(request.url):
            return front.asked(request.url)
    raise FormatError("not_front_session", f"the saved report holds no answer to a report request to {front.provider}")


def _shape(content: bytes) -> str:
    document = read_report(content)
    return "unknown" if isinstance(document, Problem) else shape_of(document)
