"""Do the keys that the report shows belong to the machine that made the quote?"""

from __future__ import annotations

from ..claims.binding import OhttpKey, SigningKey
from ..claims.problem import Problem, ProblemKind, need
from ..claims.subject import Subject
from ..policy import Policy
from .catalogue import Finding, check, failed, info, not_applicable, passed

__all__: list[str] = []


@check(
    "binding.report_data",
    title="The quote holds exactly what this kind of machine must put into it",
    explanation=(
        "Software in a TD may put 64 bytes of its choice into a quote. The first half must be the signing key (alone, "
        "or hashed together with the TLS key), or for the compose-manager the hash of its action log. We compute it "
        "from the values that the report shows, in the form that we asked for; another key, another form or a changed "
        "log gives other bytes."
    ),
    requires=("tdx.quote_signature",),
    source="NEAR AI attestation report, REPORTDATA[0:32]",
    anchor="Intel root",
    reasons={
        "other_bytes": "REPORTDATA holds other bytes than the report's keys or log give.",
        "other_second_half": "The second half of REPORTDATA is not the hash of the certificate's key, or not zero.",
        "actions_hash": "The action log does not have the hash that is stated beside it.",
        "stated_copy": "The report shows another REPORTDATA beside the quote than the quote holds.",
    },
)
def report_data(subject: Subject, policy: Policy) -> Finding:
    del policy
    binding = subject.binding
    observed = need(binding.report_data)
    if binding.first_half is None:
        return info(
            "not_demanded", "nothing was demanded of the first half of REPORTDATA", observed=observed[:32].hex()
        )
    if isinstance(binding.first_half, Problem) and binding.first_half.kind is ProblemKind.INVALID:
        return failed("actions_hash", binding.first_half.detail)
    expected = need(binding.first_half)
    if observed[:32] != expected:
        return failed(
            "other_bytes",
            f"the first half of REPORTDATA is not the {binding.layout}",
            expected=expected.hex(),
            observed=observed[:32].hex(),
        )
    if binding.second_half is not None and observed[32:] != need(binding.second_half):
        return failed(
            "other_second_half",
            f"the second half of REPORTDATA is not the {binding.second_layout}",
            expected=need(binding.second_half).hex(),
            observed=observed[32:].hex(),
        )
    if binding.stated_report_data is not None and need(binding.stated_report_data) != observed:
        return failed("stated_copy", "the report_data shown beside the quote is not the quote's own")
    return passed(f"the first half of REPORTDATA is the {binding.layout}", observed=observed[:32].hex())


@check(
    "binding.signing_key",
    title="The signing key is the one that the quote names",
    explanation=(
        "The quote names a key by its address, while clients encrypt to and verify with the public key that stands "
        "beside it. A report that shows a stranger's public key next to the right address would have prompts encrypted "
        "to the stranger. The address is therefore recomputed from the public key, for the algorithm that we asked for."
    ),
    requires=("binding.report_data",),
    source="Ethereum address (Keccak-256 of the secp256k1 key, last 20 bytes); RFC 8032; NEAR AI attestation report",
    anchor="Intel root",
    reasons={
        "other_algorithm": "The report names another signing algorithm than the one that was asked for.",
        "not_on_curve": "The public key is not a point of the curve.",
        "other_address": "The public key belongs to another address than the one in the quote.",
    },
)
def signing_key(subject: Subject, policy: Policy) -> Finding:
    del policy
    if subject.binding.signing_key is None:
        return not_applicable("no_key", "this kind of machine shows no signing key")
    key: SigningKey = need(subject.binding.signing_key)
    if key.stated_algorithm != key.algorithm:
        return failed(
            "other_algorithm",
            "the report names another signing algorithm than the one asked for",
            expected=key.algorithm,
            observed=key.stated_algorithm[:32],
        )
    if key.public_key is None:
        return passed("the quote names the address, and the report shows no public key beside it")
    if key.derived_address is None:
        return failed("not_on_curve", "signing_public_key is not a point of the curve")
    if key.derived_address != key.address:
        return failed(
            "other_address",
            "signing_public_key does not belong to the address that the quote names",
            expected=key.address.hex(),
            observed=key.derived_address.hex(),
        )
    return passed(f"the {key.algorithm} key is the one that the quote names", observed=key.address.hex())


@check(
    "binding.tls_spki",
    title="The quote names the TLS key",
    explanation=(
        "When we ask for it, the machine hashes the fingerprint of its TLS key into the quote, together with the "
        "signing key. The fingerprint must then be in the report; a report without it is a downgrade, whatever else it "
        "holds. That the connection really ends at that key is channel.tls_spki."
    ),
    requires=("binding.report_data",),
    source="NEAR AI attestation report, include_tls_fingerprint; RFC 7469 (SPKI fingerprints)",
    anchor="Intel root",
    reasons={"missing": "The TLS-bound form was asked for, and the report shows no fingerprint."},
)
def tls_spki(subject: Subject, policy: Policy) -> Finding:
    del policy
    fingerprint = subject.binding.tls_fingerprint
    if fingerprint is None:
        return not_applicable("not_asked", "the TLS-bound form was not asked for, or does not exist for this machine")
    if isinstance(fingerprint, Problem) and fingerprint.kind is ProblemKind.ABSENT:
        return failed("missing", "the TLS-bound form was asked for, and the report shows no tls_cert_fingerprint")
    return passed("the quote names the TLS key", observed=need(fingerprint).hex())


@check(
    "binding.e2ee_key",
    title="The key that prompts are encrypted to is attested",
    explanation=(
        "An ML-KEM key stands in the quote itself, hashed together with the nonce; it must be a well-formed key. A key "
        "configuration for Oblivious HTTP comes with an ed25519 signature. It is worth something only if the signature "
        "verifies and the signer is the key that this very quote names; then prompts may be encrypted to it. The "
        "signature holds no nonce, so it can be older than the report."
    ),
    requires=("binding.signing_key",),
    source="FIPS 203; RFC 9458; NEAR AI attestation report, ohttp_attestation",
    anchor="Intel root",
    reasons={
        "bad_signature": "The signature over the key configuration does not verify.",
        "other_signer": "The key configuration is signed by another key than the one that the quote names.",
        "other_config": "The report serves another key configuration than the signed one.",
        "not_bound": "Signed by a key of another algorithm, which this report does not name; not offered as attested.",
    },
)
def e2ee_key(subject: Subject, policy: Policy) -> Finding:
    del policy
    if subject.binding.kem_key is not None:
        kem = need(subject.binding.kem_key)
        return passed(f"the {kem.algorithm} key is well-formed, and the quote names it")
    if subject.binding.ohttp is None:
        return not_applicable("not_attested", "the report attests no Oblivious HTTP key")
    ohttp: OhttpKey = need(subject.binding.ohttp)
    if not ohttp.signature_valid:
        return failed("bad_signature", "the signature over the Oblivious HTTP key configuration does not verify")
    if ohttp.served_config is not None and ohttp.served_config != ohttp.key_config:
        return failed("other_config", "the report serves another Oblivious HTTP key configuration than the signed one")
    if subject.binding.signing_key is None:
        return failed("other_signer", "the quote names no key that could have signed the key configuration")
    key = need(subject.binding.signing_key)
    if key.algorithm != "ed25519":
        return info("not_bound", "signed by an ed25519 key that this ecdsa report does not name, so it is not attested")
    if ohttp.signing_key != key.address:
        return failed(
            "other_signer",
            "the key configuration is signed by another key than the one that the quote names",
            expected=key.address.hex(),
            observed=ohttp.signing_key.hex(),
        )
    return passed("the Oblivious HTTP key configuration is signed by the attested key")


@check(
    "binding.same_td",
    title="The compose-manager's quote comes from the model's own machine",
    explanation=(
        "The compose-manager shows a second quote over its log of deployments. It tells something about the model only "
        "if it was made by the same virtual machine: same registers, same configuration, same quoting platform."
    ),
    requires=("tdx.quote_signature",),
    source="NEAR AI compose-manager; Intel TDX Module specification, TD report",
    anchor="Intel root",
    reasons={
        "other_td": "A register or the platform of the two quotes differs.",
        "same_quote": "It is the model's own quote.",
    },
)
def same_td(subject: Subject, policy: Policy) -> Finding:
    del policy
    if subject.binding.host_quote is None or subject.tdx is None:
        return not_applicable("no_host", "this record attests no other one's machine")
    own, host = need(subject.tdx.quote), need(subject.binding.host_quote)
    registers = ("mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id", "mr_owner", "mr_owner_config", "mr_seam")
    for name in (*registers, "tee_tcb_svn", "td_attributes", "xfam"):
        if getattr(own.report, name) != getattr(host.report, name):
            return failed("other_td", f"{name} of this quote is not that of the model's quote")
    if own.user_data != host.user_data or own.signature.pck_chain != host.signature.pck_chain:
        return failed("other_td", "this quote was made on another platform than the model's")
    if own.report.report_data == host.report.report_data:
        return failed("same_quote", "this is the model's own quote, shown a second time")
    return passed("the same virtual machine made both quotes")


@check(
    "binding.distinct_instances",
    title="Every instance is a machine of its own",
    explanation=(
        "Many instances are a stronger statement than one, and a prompt may go to any of them. Two entries that show "
        "the same quote, key or GPU are one machine that is counted twice, or a genuine one that lends its evidence to "
        "another."
    ),
    source="Chutes evidence API; RFC 9334 (attesting environment)",
    anchor="Intel root, NVIDIA root",
    reasons={"shared": "The instance shares a quote, a key or a GPU with another one."},
)
def distinct_instances(subject: Subject, policy: Policy) -> Finding:
    del policy
    if subject.binding.sharing:
        return failed("shared", f"it shows {subject.binding.sharing[0]} of another instance as its own")
    return passed("no quote, key or GPU of it is shown by another instance")
