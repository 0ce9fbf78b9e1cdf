"""Intel's Provisioning Certification Service: TCB info, QE identity and revocation lists as HTTP answers.

Shapes follow "Intel SGX and TDX Provisioning Certification Service API", version 4. The signature covers the exact text
of the inner JSON object, so that text is made once and placed into the answer unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from attrs import define, field

from .certificates import Issued, crl, pem_chain
from .intel import IntelPki
from .keys import raw_signature
from .recording import Answer, compact, http_date, timestamp
from .tdx import QeFields

__all__ = ["PCS_HOST", "ROOT_CRL_URL", "PcsService", "pcs_urls"]

PCS_HOST = "https://api.trustedservices.intel.com"
ROOT_CRL_URL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"


def pcs_urls(fmspc: str) -> dict[str, str]:
    """The four URLs of one platform family, by what they answer."""
    return {
        "tcb": f"{PCS_HOST}/tdx/certification/v4/tcb?fmspc={fmspc}",
        "qe_identity": f"{PCS_HOST}/tdx/certification/v4/qe/identity",
        "pck_crl": f"{PCS_HOST}/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
        "root_crl": ROOT_CRL_URL,
    }


def _components(*svns: int) -> list[dict[str, int]]:
    return [{"svn": svn} for svn in (*svns, *([0] * (16 - len(svns))))]


@define(kw_only=True)
class PcsService:
    """The service of one PKI at one time; attributes are knobs that tests turn before they ask.

    ``tcb_changes`` and ``qe_changes`` replace members of the JSON documents; ``tcb_changes_for`` does so for one FMSPC
    only. ``tcb_text`` and ``qe_text`` are the signed texts verbatim. ``tcb_signer`` signs TCB info, ``qe_signer`` the
    QE identity; ``signer_chain`` is what stands above them, the root unless given. ``outer_changes`` adds members
    beside the signed one. ``issued`` is the issue date of everything but the root's list.
    """

    pki: IntelPki
    issued: datetime
    tcb_changes: dict[str, Any] = field(factory=dict)
    tcb_changes_for: dict[str, dict[str, Any]] = field(factory=dict)
    qe_changes: dict[str, Any] = field(factory=dict)
    tcb_signer: Issued | None = None
    qe_signer: Issued | None = None
    signer_chain: tuple[Issued, ...] | None = None
    tcb_text: str | None = None
    qe_text: str | None = None
    outer_changes: Mapping[str, Any] = field(factory=dict)
    pck_crl: bytes | None = None
    root_crl: bytes | None = None
    revoked_pcks: tuple[Issued, ...] = ()
    revoked_cas: tuple[Issued, ...] = ()

    def tcb_info(self, fmspc: str) -> dict[str, Any]:
        """The TCB info of a platform family, before it is signed."""
        module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        current, older = "2025-05-14T00:00:00Z", "2024-03-13T00:00:00Z"
        info: dict[str, Any] = {
            "id": "TDX",
            "version": 3,
            "issueDate": timestamp(self.issued),
            "nextUpdate": timestamp(self.issued + timedelta(days=30)),
            "fmspc": fmspc,
            "pceId": "0000",
            "tcbType": 0,
            "tcbEvaluationDataNumber": 19,
            "tdxModule": module,
            "tdxModuleIdentities": [
                {
                    "id": "TDX_03",
                    **module,
                    "tcbLevels": [{"tcb": {"isvsvn": 3}, "tcbDate": current, "tcbStatus": "UpToDate"}],
                },
                {
                    "id": "TDX_01",
                    **module,
                    "tcbLevels": [
                        {"tcb": {"isvsvn": 6}, "tcbDate": current, "tcbStatus": "UpToDate"},
                        {
                            "tcb": {"isvsvn": 2},
                            "tcbDate": "2023-08-09T00:00:00Z",
                            "tcbStatus": "OutOfDate",
                            "advisoryIDs": ["INTEL-SA-01036", "INTEL-SA-01099"],
                        },
                    ],
                },
            ],
            "tcbLevels": [
                {
                    "tcb": {
                        "sgxtcbcomponents": _components(3, 3, 2, 2, 4, 1, 0, 5),
                        "pcesvn": 13,
                        "tdxtcbcomponents": _components(5, 0, 3),
                    },
                    "tcbDate": current,
                    "tcbStatus": "UpToDate",
                },
                {
                    "tcb": {
                        "sgxtcbcomponents": _components(2, 2, 2, 2, 3, 1, 0, 5),
                        "pcesvn": 5,
                        "tdxtcbcomponents": _components(5, 0, 2),
                    },
                    "tcbDate": older,
                    "tcbStatus": "OutOfDate",
                    "advisoryIDs": ["INTEL-SA-01036", "INTEL-SA-01079"],
                },
            ],
        }
        return {**info, **self.tcb_changes, **self.tcb_changes_for.get(fmspc, {})}

    def qe_identity(self) -> dict[str, Any]:
        """The identity of the TD quoting enclave, before it is signed."""
        identity: dict[str, Any] = {
            "id": "TD_QE",
            "version": 2,
            "issueDate": timestamp(self.issued),
            "nextUpdate": timestamp(self.issued + timedelta(days=30)),
            "tcbEvaluationDataNumber": 19,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000",
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": QeFields().mr_signer.hex().upper(),
            "isvprodid": 2,
            "tcbLevels": [{"tcb": {"isvsvn": 4}, "tcbDate": "2025-05-14T00:00:00Z", "tcbStatus": "UpToDate"}],
        }
        return {**identity, **self.qe_changes}

    def tcb_answer(self, fmspc: str) -> Answer:
        """The answer about one platform family."""
        text = self.tcb_text or compact(self.tcb_info(fmspc)).decode()
        return self._signed("tcbInfo", text, "Tcb-Info-Issuer-Chain", self.tcb_signer or self.pki.tcb_signer)

    def qe_answer(self) -> Answer:
        """The answer about the quoting enclave."""
        text = self.qe_text or compact(self.qe_identity()).decode()
        signer = self.qe_signer or self.pki.tcb_signer
        return self._signed("enclaveIdentity", text, "Sgx-Enclave-Identity-Issuer-Chain", signer)

    def pck_crl_answer(self) -> Answer:
        """The revocation list of the PCK CA."""
        body = self.pck_crl or self.pck_list()
        headers = self._headers("application/pkix-crl", body)
        headers["Sgx-Pck-Crl-Issuer-Chain"] = quote(pem_chain(self.pki.pck_ca, self.pki.root), safe="")
        return Answer(200, headers, body)

    def root_crl_answer(self) -> Answer:
        """The revocation list of the root."""
        body = self.root_crl or self.root_list()
        return Answer(200, self._headers("binary/octet-stream", body), body)

    def pck_list(self, *, signer: Issued | None = None, since: datetime | None = None) -> bytes:
        """The PCK CA's list (30 days)."""
        return self._list(self.pki.pck_ca, self.revoked_pcks, since or self.issued, 30, signer)

    def root_list(self, *, signer: Issued | None = None, since: datetime | None = None) -> bytes:
        """The root's list (a year, as Intel's)."""
        return self._list(self.pki.root, self.revoked_cas, since or self.issued - timedelta(days=109), 365, signer)

    def answers(self, fmspc: str) -> list[tuple[str, Answer]]:
        """URL and answer of the four requests for one platform family, in the order in which they are asked."""
        urls = pcs_urls(fmspc)
        return [
            (urls["tcb"], self.tcb_answer(fmspc)),
            (urls["qe_identity"], self.qe_answer()),
            (urls["pck_crl"], self.pck_crl_answer()),
            (urls["root_crl"], self.root_crl_answer()),
        ]

    def _list(
        self, issuer: Issued, revoked: tuple[Issued, ...], since: datetime, days: int, signer: Issued | None
    ) -> bytes:
        until = since + timedelta(days=days)
        return crl(issuer, revoked, this_update=since, next_update=until, signer=signer)

    def _signed(self, member: str, text: str, header: str, signer: Issued) -> Answer:
        outer = {"signature": raw_signature(signer.key, text.encode()).hex(), **self.outer_changes}
        tail = compact(outer).decode()[1:]
        body = f'{{"{member}":{text},{tail}'.encode()
        headers = self._headers("application/json", body)
        headers[header] = quote(pem_chain(signer, *(self.signer_chain or (self.pki.root,))), safe="")
        return Answer(200, headers, body)

    def _headers(self, content_type: str, body: bytes) -> dict[str, str]:
        return {
            "Content-Length": str(len(body)),
            "Content-Type": content_type,
            "Date": http_date(self.issued + timedelta(minutes=30)),
        }
