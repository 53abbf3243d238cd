"""With what tables and bundles are made, so closely that the same gives the same bytes."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import metadata
from typing import Final

from harness.campaign import folders
from harness.sampling import versions

#: Packages that the tables' last digits and the report's pictures rest on too.
DRAWS: Final = ("numpy", "scipy", "matplotlib")
_CODE: Final = ("*.py", "*.j2", "*.css", "*.js", "*.json")


@cache
def made_with() -> dict[str, str]:
    """Versions of packages, of Python and the machine, and the digest of truename's own code."""
    drawn = {name: metadata.version(name) for name in DRAWS}
    machine = f"{platform.system()}-{platform.machine()}".lower()
    here = {"python": platform.python_version(), "machine": machine, "code": _code()}
    return versions() | drawn | here


def _code() -> str:
    said = hashlib.sha256()
    paths = {path for form in _CODE for path in folders.PACKAGE.rglob(form)}
    for path in sorted(path for path in paths if "_data" not in path.parts):
        said.update(path.relative_to(folders.PACKAGE).as_posix().encode() + b"\0")
        said.update(hashlib.sha256(path.read_bytes()).digest())
    return said.hexdigest()[:16]
