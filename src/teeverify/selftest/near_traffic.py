"""A saved NEAR session taken apart: which exchange is which, and where the records of its report stand."""

from __future__ import annotations

import json

from attrs import frozen

from ..errors import FormatError
from ..flow import run
from ..policy import Policy
from ..providers.near_flow import attestation_flow
from ..providers.near_wire import NearAsked, asked_from_url
from ..saved import SavedReport
from .report_traffic import ReportTraffic, copies_of, records_of
from .traffic import NotingTransport, rivals_of

__all__ = ["NearTraffic"]


@frozen(kw_only=True)
class NearTraffic(ReportTraffic):
    """One saved session of NEAR that is VERIFIED."""

    asked: NearAsked

    @classmethod
    def read(cls, report: SavedReport, policy: Policy) -> NearTraffic:
        """Take a session apart that was VERIFIED under the policy; of another one, parts may be missing.

        Raises:
            FormatError: ``not_near_session`` when the report holds no answer to a request with its own nonce.
        """
        asked = _our_request(report)
        with_nras = policy.gpu.nras != "ignore"
        transport = NotingTransport(report)
        run(attestation_flow(asked, nonce=report.nonce, model=report.model, with_nras=with_nras), transport)
        used = tuple(sorted(transport.used))
        front = next(place for place in used if report.exchanges[place].request.url == asked.url)
        text = report.exchanges[front].response.body.decode("utf-8")
        body = json.loads(text)
        return cls(
            report=report,
            policy=policy,
            asked=asked,
            body=body,
            front=front,
            used=used,
            records=tuple(records_of(body, through_gateway=asked.cloud)),
            copies=dict(copies_of(body, through_gateway=asked.cloud)),
            rivals=rivals_of(report, used),
            text=text,
        )


def _our_request(report: SavedReport) -> NearAsked:
    for exchange in report.exchanges:
        if exchange.request.method == "GET" and exchange.response.status == 200:
            try:
                asked = asked_from_url(exchange.request.url)
            except FormatError:
                continue
            if asked.nonce == report.nonce:
                return asked
    raise FormatError("not_near_session", "the saved report holds no answer to a NEAR report request with its nonce")
