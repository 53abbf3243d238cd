"""Who packed a bundle, and since when a plan exists."""

from __future__ import annotations

import base64
import random
import stat

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.errors import RunError
from harness.report.evidence import signatures, stamps
from harness.report.evidence.checking import Checked, Job, _signed, _stamped
from harness.report.evidence.contents import Manifest
from tests.commands import truename
from tests.report.forging import files_of, forged, hashed

#: What a time stamping authority of our own (openssl ts) answered for a file that holds `hello`.
STAMP = base64.b64decode(
    """
    MIIDqjADAgEAMIIDoQYJKoZIhvcNAQcCoIIDkjCCA44CAQMxDzANBglghkgBZQMEAgEFADCBmQYLKoZIhvcNAQkQAQSg
    gYkEgYYwgYMCAQEGBCoDBAEwMTANBglghkgBZQMEAgEFAAQgLPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQC
    AQMYDzIwMjYxMTI3MDQwOTQ4WjADAgEBAQH/Agh7bbBrGrAXHqAfpB0wGzEZMBcGA1UEAwwQVGVzdCB0aW1lIHN0YW1w
    c6CCAaEwggGdMIIBQ6ADAgECAhQNM091qwCmGedLHx+CYUottlUssTAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlUZXN0
    IHJvb3QwIBcNMjYxMTI3MDQwOTM3WhgPMjEyNjExMDMwNDA5MzdaMBsxGTAXBgNVBAMMEFRlc3QgdGltZSBzdGFtcHMw
    WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATksgk2xykzZjDBANzBcr2kTmzGYFg+VbOqpXXTQfSRKKr3YWUw9XAWBkad
    FxAqgKo+z79sL+ZOw6FDx2ILV0qdo2owaDAWBgNVHSUBAf8EDDAKBggrBgEFBQcDCDAOBgNVHQ8BAf8EBAMCB4AwHwYD
    VR0jBBgwFoAUVWQJIO21S9YTWeVi3gKYW93kUy4wHQYDVR0OBBYEFOP7YM4HIx8ntcHk2/fm8uUvczH3MAoGCCqGSM49
    BAMCA0gAMEUCIQDigDi5oxUbEpl6OPMycxdDo23vMap1YEP/3LNZOA1JSAIgf3I6ydDUh2Q5rvCvwcC2afBmE0IOXeSD
    bxqDcZzAxVExggE1MIIBMQIBATAsMBQxEjAQBgNVBAMMCVRlc3Qgcm9vdAIUDTNPdasAphnnSx8fgmFKLbZVLLEwDQYJ
    YIZIAWUDBAIBBQCggZgwGgYJKoZIhvcNAQkDMQ0GCyqGSIb3DQEJEAEEMBwGCSqGSIb3DQEJBTEPFw0yNjExMjcwNDA5
    NDhaMCsGCyqGSIb3DQEJEAIMMRwwGjAYMBYEFLMJ+8SIfYW/JiYE8X2P6AHJGWoWMC8GCSqGSIb3DQEJBDEiBCDqeTcp
    FxuaTLVbqv34aSivmjIyjY2UZpAK+efSZ5RDrTAKBggqhkjOPQQDAgRIMEYCIQCZmP6dIvdSfFlcYR5DKhlEIrHEcioB
    M8hEsiA6FMYupgIhAL+sU6TKzJMJfowUd3GugprW9cSv8s0cGnXWj1JijWJW
    """
)
ROOT = """-----BEGIN CERTIFICATE-----
MIIBjzCCATWgAwIBAgIUEAexTDgsXvlGnCxADY28BsQM1dEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJVGVzdCByb290MCAXDTI2MTEyNzA0MDkzN1oYDzIxMjYxMTAz
MDQwOTM3WjAUMRIwEAYDVQQDDAlUZXN0IHJvb3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQxpvpZgm2PnOiyi1M53pkY8H+YQYvAmRR6nqeP/eXlS9pp1k4UG7xa
kUXwkC7CUERza/ZblrZcSFHBORbcVt6go2MwYTAdBgNVHQ4EFgQUVWQJIO21S9YT
WeVi3gKYW93kUy4wHwYDVR0jBBgwFoAUVWQJIO21S9YTWeVi3gKYW93kUy4wDwYD
VR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAgQwCgYIKoZIzj0EAwIDSAAwRQIh
ANq2YrVqxjjJWQ6eZ4tAl5tvP8c7MrFP4oIx8t84M5O1AiAeBo+4w913Bjt0ylDv
NOE74DvDhe+zr+7pSjP1khV0AQ==
-----END CERTIFICATE-----
"""
#: A certificate of another's, that the stamp does not lead to as a root.
OTHER = """-----BEGIN CERTIFICATE-----
MIIBnTCCAUOgAwIBAgIUDTNPdasAphnnSx8fgmFKLbZVLLEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJVGVzdCByb290MCAXDTI2MTEyNzA0MDkzN1oYDzIxMjYxMTAz
MDQwOTM3WjAbMRkwFwYDVQQDDBBUZXN0IHRpbWUgc3RhbXBzMFkwEwYHKoZIzj0C
AQYIKoZIzj0DAQcDQgAE5LIJNscpM2YwwQDcwXK9pE5sxmBYPlWzqqV100H0kSiq
92FlMPVwFgZGnRcQKoCqPs+/bC/mTsOhQ8diC1dKnaNqMGgwFgYDVR0lAQH/BAww
CgYIKwYBBQUHAwgwDgYDVR0PAQH/BAQDAgeAMB8GA1UdIwQYMBaAFFVkCSDttUvW
E1nlYt4CmFvd5FMuMB0GA1UdDgQWBBTj+2DOByMfJ7XB5Nv35vLlL3Mx9zAKBggq
hkjOPQQDAgNIADBFAiEA4oA4uaMVGxKZejjzMnMXQ6Nt7zGqdWBD/9yzWTgNSUgC
IH9yOsnQ1IdkOa7wr8HAtmnwZhNCDl3kg28ag3GcwMVR
-----END CERTIFICATE-----
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The path of a private key; the public one lies beside it."""
    path = tmp_path_factory.mktemp("keys") / "mine"
    done = truename("keys", path)
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture(scope="module")
def signed(results, pair, tmp_path_factory):
    path = tmp_path_factory.mktemp("signed") / "made.bundle.zip"
    done = truename("bundle", "made", "--results", results, "--out", path, "--sign", pair)
    assert done.exit_code == 0 and f"--signer {pair}.pub" in done.output, done.output
    return path


def test_a_private_key_is_for_its_owner_alone_and_never_written_over(pair):
    assert stat.S_IMODE(pair.stat().st_mode) == 0o600
    secret = pair.read_bytes()
    done = truename("keys", pair)
    assert done.exit_code == 2 and pair.read_bytes() == secret


def test_no_key_is_in_the_bundle(signed, pair):
    content = b"".join(files_of(signed).values())
    for path in (pair, pair.with_name("mine.pub")):
        line = path.read_bytes().splitlines()[1]
        assert line not in content and base64.b64decode(line)[-32:] not in content


def test_a_signed_bundle_is_verified(signed, pair):
    done = truename("verify", signed, "--signer", f"{pair}.pub")
    assert done.exit_code == 0 and "signed with the key" in done.output, done.output


def checked(content, job):
    """What the signature of some files comes to."""
    found = Checked(Manifest(3, "made", 1, {}, {}), "", [])
    _signed(job, content["manifest.json"], content.get("signature.json"), found)
    return found


def test_a_signature_is_on_this_manifest_by_this_key(signed, pair, tmp_path):
    files, job = files_of(signed), Job("", 0, f"{pair}.pub")
    assert not checked(files, job).wrong
    assert "not checked" not in str(checked(files, Job("", 0)).shown)
    assert any("--signer PUBLIC" in note for note in checked(files, Job("", 0)).notes)
    signatures.make_keys(tmp_path / "other")
    assert checked(files, Job("", 0, str(tmp_path / "other.pub"))).wrong
    assert checked(hashed(files, samples=9), job).wrong
    del files["signature.json"]
    assert checked(files, job).wrong == ["the bundle is not signed"]


def test_a_forger_who_signs_as_another_is_found(signed, pair, tmp_path):
    """A key of his own, under the fingerprint of the one that is trusted."""
    files = hashed(files_of(signed), samples=9)
    trusted = msgspec.json.decode(files["signature.json"])["key"]
    signatures.make_keys(tmp_path / "his")
    made = signatures.sign(files["manifest.json"], signatures.private_key(tmp_path / "his"))
    files["signature.json"] = msgspec.json.encode(msgspec.json.decode(made) | {"key": trusted})
    assert checked(files, Job("", 0, f"{pair}.pub")).wrong


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{}", b"[" * 90_000),
        b'{"algorithm": "none", "key": "' + b"a" * 64 + b'", "signature": ""}',
        b'{"algorithm": "ed25519", "key": "x", "signature": "00"}',
        b'{"algorithm": "ed25519", "key": "' + b"a" * 64 + b'", "signature": "zz"}',
        b'{"algorithm": "ed25519", "key": "' + b"a" * 64 + b'", "signature": "", "more": 1}',
    ],
)
def test_a_signature_that_is_none_is_refused(content):
    with pytest.raises(ValueError, match="signature"):
        signatures.read_signature(content)


def test_a_bundle_with_a_broken_signature_is_refused(signed, tmp_path):
    path = forged(tmp_path / "f.zip", files_of(signed) | {"signature.json": b"{}"})
    done = truename("verify", path)
    assert done.exit_code == 2 and "signature cannot be read" in done.output


def test_a_key_that_others_may_read_is_not_used(pair, results, tmp_path):
    loose = tmp_path / "loose"
    loose.write_bytes(pair.read_bytes())
    loose.chmod(0o640)
    done = truename("bundle", "made", "--results", results, "--sign", loose, folder=tmp_path)
    assert done.exit_code == 2 and f"chmod 600 {loose}" in done.output
    assert not list(tmp_path.glob("*.zip"))


def test_other_keys_are_refused(pair, tmp_path):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, pkcs8 = forms.Encoding.PEM, forms.PrivateFormat.PKCS8
    spki = forms.PublicFormat.SubjectPublicKeyInfo
    locked = signatures.private_key(pair).private_bytes(
        pem, pkcs8, forms.BestAvailableEncryption(b"passphrase")
    )
    rsa_key = other.private_bytes(pem, pkcs8, forms.NoEncryption())
    for name, content in (("rsa", rsa_key), ("locked", locked), ("none", b"x")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
        with pytest.raises(RunError, match="no Ed25519 private key"):
            signatures.private_key(tmp_path / name)
    (tmp_path / "rsa.pub").write_bytes(other.public_key().public_bytes(pem, spki))
    for path in (tmp_path / "rsa.pub", pair, tmp_path / "none"):
        with pytest.raises(RunError, match="no Ed25519 public key"):
            signatures.public_key(path)
    with pytest.raises(RunError, match="cannot be read"):
        signatures.public_key(tmp_path / "missing")


@pytest.fixture
def roots(tmp_path):
    (tmp_path / "root.pem").write_text(ROOT)
    (tmp_path / "other.pem").write_text(OTHER)
    return tmp_path


def test_a_time_stamp_holds_for_what_was_stamped_under_whom_one_trusts(roots):
    trusted = stamps.trusted(roots / "root.pem")
    found = stamps.check_stamp(STAMP, b"hello", trusted)
    assert found.when.isoformat() == "2026-11-27T04:09:48+00:00" and "Test root" in found.by
    with pytest.raises(ValueError, match="Mismatch"):
        stamps.check_stamp(STAMP, b"hello!", trusted)
    with pytest.raises(ValueError, match="certificate"):
        stamps.check_stamp(STAMP, b"hello", stamps.trusted(roots / "other.pem"))
    with pytest.raises(RunError, match="certificates cannot be read"):
        stamps.trusted(roots / "missing.pem")


def test_a_time_stamp_with_changed_bytes_is_a_reason_never_a_crash(roots):
    trusted, rng = stamps.trusted(roots / "root.pem"), random.Random(5)
    for _ in range(300):
        body = bytearray(STAMP)
        at = rng.randrange(len(body))
        body[at] ^= 1 << rng.randrange(8)
        try:
            found = stamps.check_stamp(bytes(body), b"hello", trusted)
        except ValueError:
            continue
        assert found.when.isoformat() == "2026-11-27T04:09:48+00:00", at


def stamped(folder, saved, content, roots):
    """What a stamp comes to whose run's first sample was saved then."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(folder / "journal.sqlite")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS responses (saved TEXT)")
        database.execute("DELETE FROM responses")
        database.execute("INSERT INTO responses VALUES (?)", [saved])
        database.commit()
    (folder / "plan.json").write_bytes(content)
    (folder / "plan.tsr").write_bytes(STAMP)
    found = Checked(Manifest(3, "made", 1, {}, {}), "", [])
    job = Job("", 0, None, str(roots) if roots else None)
    _stamped(job, folder / "plan.tsr", folder / "plan.json", found)
    return found


def test_a_time_stamp_is_older_than_the_first_sample(roots):
    root = roots / "root.pem"
    found = stamped(roots, "2026-11-27T05:00:00.000+00:00", b"hello", root)
    assert not found.wrong and "2026-11-27T04:09:48" in found.shown[0]
    late = stamped(roots, "2026-11-27T04:00:00.000+00:00", b"hello", root)
    assert "not older than the first sample" in late.wrong[0]
    other = stamped(roots, "2026-11-27T05:00:00.000+00:00", b"{}", root)
    assert "does not hold" in other.wrong[0]
    carried = stamped(roots, "2026-11-27T05:00:00.000+00:00", b"hello", None)
    assert "was not checked" in carried.notes[0] and not carried.shown
