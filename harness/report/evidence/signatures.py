"""Who packed a bundle: an Ed25519 signature on its manifest, which has the hash of every file.

Keys are files in PEM, as `openssl genpkey -algorithm ed25519` makes them too. A bundle holds the
signature and the key's fingerprint, never a key: whom a key belongs to has to be known from
elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from harness.errors import RunError

ALGORITHM: Final = "ed25519"
#: Stands before what is signed, so that a signature on a manifest is one on nothing else.
_ABOUT: Final = b"truename bundle manifest\n"
#: Bytes that a file of a key may have.
_LARGEST: Final = 10_000


class Signature(msgspec.Struct, forbid_unknown_fields=True):
    """The algorithm, the fingerprint of the public key, and the signature in hexadecimal digits."""

    algorithm: str
    key: str
    signature: str


def make_keys(path: Path) -> tuple[Path, str]:
    """Write a new private key to ``path``, for its owner alone, and the public one beside it.

    Returns the public key's path and its fingerprint.

    Raises
    ------
    RunError
        One of the files is there already, or cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    public = path.with_name(f"{path.name}.pub")
    secret = private.private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
    )
    shown = private.public_key().public_bytes(
        forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo
    )
    if public.exists():
        raise RunError(
            "there is a key already", where=str(public), next="choose another name: none is lost"
        )
    for place, content, mode in ((path, secret, 0o600), (public, shown, 0o644)):
        _write_new(place, content, mode)
    return public, fingerprint(private.public_key())


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that was not there, with its permissions from the first byte on."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as problem:
        raise RunError(
            f"cannot write the key: {problem.strerror}",
            where=str(path),
            next="choose another name: a key is never written over",
        ) from None
    with os.fdopen(handle, "wb") as out:
        out.write(content)


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of a public key's 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises
    ------
    RunError
        It cannot be read, others may read it too, or it is no Ed25519 key without a passphrase.
    """
    content = _content(path)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RunError(
            "others may read this private key", where=str(path), next=f"chmod 600 {path}"
        )
    try:
        key = forms.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise RunError(
        "this is no Ed25519 private key in PEM without a passphrase",
        where=str(path),
        next="truename keys FILE makes a pair",
    )


def public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises
    ------
    RunError
        It cannot be read, or is no Ed25519 public key.
    """
    try:
        key = forms.load_pem_public_key(_content(path))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PublicKey):
        return key
    raise RunError(
        "this is no Ed25519 public key in PEM",
        where=str(path),
        next="give the file FILE.pub that truename keys wrote, from whom you trust",
    )


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as source:
            return source.read(_LARGEST)
    except OSError as problem:
        raise RunError(
            f"the key cannot be read: {problem.strerror}",
            where=str(path),
            next="truename keys FILE makes a pair",
        ) from None


def sign(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """The file `signature.json` of a manifest."""
    made = Signature(ALGORITHM, fingerprint(key.public_key()), key.sign(_ABOUT + manifest).hex())
    return msgspec.json.format(msgspec.json.encode(made), indent=1)


def read_signature(content: bytes) -> Signature:
    """A stranger's `signature.json`.

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        found = msgspec.json.decode(content, type=Signature)
        bytes.fromhex(found.signature)
        int(found.key, 16)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise ValueError("its signature cannot be read") from None
    if found.algorithm != ALGORITHM or len(found.key) != 64 or not found.key.isalnum():
        raise ValueError("its signature is of a kind that this truename does not know")
    return found


def is_signed(manifest: bytes, found: Signature, key: Ed25519PublicKey) -> bool:
    """Whether the owner of a key signed this manifest; what the signature says of itself is not
    believed.
    """
    try:
        key.verify(bytes.fromhex(found.signature), _ABOUT + manifest)
    except InvalidSignature:
        return False
    return True
