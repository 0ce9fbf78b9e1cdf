"""Was the TD built for this application, and who gives it its keys?"""

from __future__ import annotations

import hashlib

from ..claims.dstack import AppCertificate, DstackClaims, MeasuredIdentity
from ..claims.problem import Problem, ProblemKind, need
from ..claims.subject import Subject
from ..errors import FormatError
from ..formats.mr_config import mr_config_v1, mr_config_v2, mr_config_v3, mr_config_version
from ..formats.mr_config_document import MrConfigDocument, parse_mr_config_document
from ..formats.tdx_quote import TdReport
from ..policy import Policy
from .catalogue import Finding, check, failed, passed
from .dstack import dstack_claims
from .tdx import tdx_claims

__all__: list[str] = []

_REGISTERS = ("mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id", "mr_owner", "mr_owner_config")


@check(
    "dstack.mr_config_id",
    title="The TD was built for this compose document",
    explanation=(
        "The host fixes MRCONFIGID when it builds the TD, and the hardware reports it. dstack puts the compose hash "
        "there (version 1), or the hash of a document that names it (versions 2 and 3), and refuses to boot with "
        "another one. This ties the compose document to the TD without trusting the event log. All 48 bytes are "
        "compared. A document of version 3 must stand in the report, and all that it binds must be what was measured."
    ),
    requires=("tdx.quote_signature",),
    source="dstack: event log, app-compose and MRCONFIGID (dstack-attest, dstack-types)",
    anchor="Intel root",
    reasons={
        "unset": "MRCONFIGID is zero, so the TD was not built for any compose document.",
        "version": "MRCONFIGID is of a version that cannot be checked here.",
        "other_config": "MRCONFIGID is not what the compose document gives.",
        "document_missing": "MRCONFIGID is the hash of an mr_config document that the report does not show.",
        "other_document": "The mr_config document binds something else than what was measured, or has not its form.",
    },
)
def mr_config_id(subject: Subject, policy: Policy) -> Finding:
    del policy
    claims = dstack_claims(subject)
    observed = need(tdx_claims(subject).quote).report.mr_config_id
    compose_hash = need(claims.app_compose).compose_hash
    try:
        version = mr_config_version(observed)
        if version == 0:
            return failed("unset", "MRCONFIGID is zero, version 1, 2 or 3 was expected", observed=observed.hex())
        if version == 3:
            return _of_document(claims, compose_hash, observed)
        if version == 1:
            expected = mr_config_v1(compose_hash)
        else:
            identity = need(claims.identity)
            provider = identity.key_provider
            expected = mr_config_v2(compose_hash, identity.app_id, provider.name, provider.id)
    except FormatError as error:
        return failed("version", str(error), observed=observed.hex())
    if observed != expected:
        return failed(
            "other_config",
            "MRCONFIGID is not what the compose document gives",
            expected=expected.hex(),
            observed=observed.hex(),
        )
    return passed(f"MRCONFIGID (version {version}) holds the compose hash", observed=observed.hex())


def _of_document(claims: DstackClaims, compose_hash: bytes, observed: bytes) -> Finding:
    """Judge MRCONFIGID of version 3: the hash over the document as it was served, and then what it binds."""
    document = claims.mr_config
    if isinstance(document, Problem):
        return failed("other_document", document.detail, observed=observed.hex())
    if document is None:
        return failed(
            "document_missing",
            "MRCONFIGID is of version 3, and the report shows no mr_config document that it could be the hash of",
            observed=observed.hex(),
        )
    expected = mr_config_v3(document)
    if observed != expected:
        detail = "MRCONFIGID is not the hash of the mr_config document in the report"
        return failed("other_config", detail, expected=expected.hex(), observed=observed.hex())
    try:
        bound = parse_mr_config_document(document)
    except FormatError as error:
        return failed("other_document", str(error))
    differing = _differing(bound, need(claims.identity), compose_hash)
    if differing is not None:
        return failed("other_document", f"{differing} in the mr_config document is not what was measured")
    return passed("MRCONFIGID (version 3) is the hash of a document with the compose hash", observed=observed.hex())


def _differing(bound: MrConfigDocument, identity: MeasuredIdentity, compose_hash: bytes) -> str | None:
    """Name of the first member that binds something else than what was measured."""
    kind = {"local-sgx": "local"}.get(identity.key_provider.name, identity.key_provider.name)
    if bound.compose_hash != compose_hash:
        return "compose_hash"
    if bound.key_provider != kind:
        return "key_provider"
    pairs: dict[str, tuple[object, object]] = {
        "app_id": (bound.app_id, identity.app_id),
        "instance_id": (bound.instance_id, identity.instance_id),
        "key_provider_id": (bound.key_provider_id, identity.key_provider.id),
        "gpu_policy_hash": (bound.gpu_policy_hash, identity.gpu_policy_hash),
        "init_script_hashes": (bound.init_script_hashes, identity.init_script_hashes),
    }
    return next((name for name, (one, other) in pairs.items() if one is not None and one != other), None)


@check(
    "dstack.key_provider",
    title="The application's keys come from a key management service",
    explanation=(
        "The app's keys are derived by a KMS. The measured key-provider event names its root key; the app certificate "
        "in the report must chain to that root and be for this app. Where the certificate carries a quote, it must be "
        "one of this very TD about the certificate's own key. The certificate is not fresh, so it adds to the quote "
        "and never stands for it. Which root is a good one is pin.kms_root."
    ),
    requires=("dstack.event_order",),
    source="dstack KMS and RA-TLS certificates (OID 1.3.6.1.4.1.62397.1)",
    anchor="Intel root, policy pin of the base image",
    reasons={
        "not_kms": "The keys do not come from a KMS.",
        "stated_provider": "The report states another key provider than the measured one.",
        "app_cert_chain": "The app certificate is not a chain signed link by link.",
        "other_root": "The app certificate chains to another root than the measured KMS.",
        "other_app": "The app certificate is for another app.",
        "other_usage": "The app certificate, or the CA that issued it, is for another use.",
        "other_td": "The quote inside the app certificate is of another TD.",
        "other_key": "The quote inside the app certificate is about another key than the certificate's.",
    },
)
def key_provider(subject: Subject, policy: Policy) -> Finding:
    del policy
    claims = dstack_claims(subject)
    identity = need(claims.identity)
    if identity.key_provider.name != "kms":
        return failed(
            "not_kms",
            "the measured key provider is not a KMS",
            expected="kms",
            observed=identity.key_provider.name[:32],
        )
    stated = claims.stated.get("info.key_provider_info")
    if stated is not None and need(stated) != identity.key_provider_payload:
        return failed("stated_provider", "info.key_provider_info is not the measured key-provider event")
    certificate = claims.app_certificate
    if isinstance(certificate, Problem) and certificate.kind is ProblemKind.INVALID:
        return failed("app_cert_chain", certificate.detail)
    if certificate is None:
        return passed("the measured key provider is a KMS")
    refused = _certificate(need(certificate), identity, need(tdx_claims(subject).quote).report)
    return refused or passed("the measured KMS root issued the app certificate")


def _certificate(certificate: AppCertificate, identity: MeasuredIdentity, report: TdReport) -> Finding | None:
    if certificate.root_spki != identity.key_provider.id:
        return failed("other_root", "the app certificate does not chain to the measured KMS root")
    if any(app_id != identity.app_id for app_id in certificate.app_ids):
        return failed("other_app", "the app certificate is for another app than the measured one")
    leaf, issuer = certificate.usages
    if issuer not in (None, b"app:ca") or (leaf is not None and not (leaf.startswith(b"app:") and leaf != b"app:ca")):
        return failed("other_usage", "the app certificate or its CA is not for an application")
    if certificate.quote is None:
        return None
    inner = need(certificate.quote).report
    differing = [name for name in _REGISTERS if getattr(inner, name) != getattr(report, name)]
    if differing:
        return failed("other_td", f"{differing[0]} of the quote inside the app certificate is not that of this TD")
    if inner.report_data != hashlib.sha512(b"ratls-cert:" + certificate.leaf_spki).digest():
        return failed("other_key", "the quote inside the app certificate is not about the certificate's own key")
    return None
