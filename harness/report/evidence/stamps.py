"""Since when a file exists: a time stamp by RFC 3161, checked against certificates that one trusts.

The stamp is what a time stamping authority answers (`plan.tsr`). Its signature, the chain to one of
the certificates given, the purpose of the signer's certificate and the hash of the stamped file are
checked by the package rfc3161-client; whether a certificate was revoked is not.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from rfc3161_client import VerifierBuilder, decode_timestamp_response
from rfc3161_client.errors import VerificationError

from harness.errors import RunError


class Stamped(NamedTuple):
    """When a file was stamped, and the subject of the certificate that it was signed with."""

    when: datetime
    by: str


def trusted(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file.

    Raises
    ------
    RunError
        It cannot be read, or holds none.
    """
    try:
        with path.open("rb") as source:
            return x509.load_pem_x509_certificates(source.read(1_000_000))
    except (OSError, ValueError) as problem:
        raise RunError(
            f"the authority's certificates cannot be read: {problem}",
            where=str(path),
            next="give the PEM file of certificates that the time stamping authority publishes",
        ) from None


def check_stamp(stamp: bytes, content: bytes, roots: list[x509.Certificate]) -> Stamped:
    """When ``content`` was stamped.

    Raises
    ------
    ValueError
        The stamp is none, is of another content, or is not signed by whom the roots trust.
    """
    try:
        found = decode_timestamp_response(stamp)
        builder = VerifierBuilder()
        for root in dict.fromkeys(roots):
            builder = builder.add_root_certificate(root)
        builder.build().verify_message(found, content)
        signer = next(iter(found.signed_data.signer_infos))
        name = x509.Name(signer.issuer).rfc4514_string()
        return Stamped(found.tst_info.gen_time, f"{name}, serial {signer.serial_number}")
    except (ValueError, VerificationError) as problem:
        raise ValueError(str(problem)[:200] or "it is no time stamp") from None
