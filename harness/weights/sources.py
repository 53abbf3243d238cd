"""Bytes of a checkpoint: of a local file, or of a URL that answers range requests.

What comes from a URL is asked for again where that fails, and what was read is kept in a cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from harness.errors import WeightsError
from harness.masking import know

Bytes = npt.NDArray[np.uint8]
#: How often one read is tried, on top of what the store itself retries.
ATTEMPTS: Final = 4
#: Bytes that one request asks for at most, where reads lie one behind the other; and how many
#: answers wait for who reads them.
TOGETHER: Final = 4 << 20
WINDOWS: Final = 4
NATIVE: Final = ("http", "https", "s3", "gs", "az", "abfs", "abfss")


class Source(Protocol):
    """A file whose bytes can be read in any place. Safe to use from several threads."""

    where: str
    size: int
    remote: bool

    def read(self, start: int, into: Bytes) -> None:
        """Fill ``into`` with the bytes from ``start`` on.

        Raises
        ------
        WeightsError
            The file ends before, or cannot be read.
        """
        ...

    def announce(self, start: int, length: int) -> None:
        """These bytes will be read soon."""
        ...

    def identity(self) -> str:
        """What changes when the file changes: size with time, or the host's entity tag."""
        ...


class LocalFile:
    """A file on this machine, read by position."""

    remote = False

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            found = os.fstat(self._file)
        except OSError as problem:
            raise WeightsError(
                f"the file cannot be opened: {problem.strerror}",
                where=self.where,
                next="give a file that you may read",
            ) from None
        self.size, self._changed = found.st_size, found.st_mtime_ns
        self._lock = threading.Lock()

    def read(self, start: int, into: Bytes) -> None:
        view, done = memoryview(into.data), 0
        while done < len(view):
            try:
                got = self._some(view[done:], start + done)
            except OSError as problem:
                raise WeightsError(
                    f"reading failed at byte {start + done:,}: {problem.strerror}",
                    where=self.where,
                    next="check the disk, then run the same command again",
                ) from None
            if not got:
                raise WeightsError(
                    f"the file ends at byte {start + done:,}; {start + len(view):,} were announced",
                    where=self.where,
                    next="get the file again: it was cut off",
                )
            done += got

    def announce(self, start: int, length: int) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, start, length, os.POSIX_FADV_WILLNEED)

    def _some(self, into: memoryview, start: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file, [into], start)
        with self._lock:  # Windows reads from one place at a time
            os.lseek(self._file, start, os.SEEK_SET)
            got = os.read(self._file, len(into))
        into[: len(got)] = got
        return len(got)

    def identity(self) -> str:
        return f"{self.size}-{self._changed}"

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


class RemoteFile:
    """A file behind a URL: https, s3, gs, az by obstore; any other scheme by fsspec."""

    remote = True

    def __init__(self, url: str, cache: Path | None = None) -> None:
        self.where = plain_url(url)
        self._opened: Any = _Obstore(url) if urlsplit(url).scheme in NATIVE else _Fsspec(url)
        about = _persistently(self._opened.about, self.where, "asking for its size")
        self.size, self._tag = int(about["size"]), str(about["tag"])
        version = hashlib.sha256(f"{self.where} {self._tag} {self.size}".encode()).hexdigest()
        self._cache = cache / version[:24] if cache else None
        self._soon: dict[int, int] = {}
        self._windows: dict[tuple[int, int], Future[Bytes]] = {}
        self._lock = threading.Lock()

    def announce(self, start: int, length: int) -> None:
        """What is read soon and lies behind what is asked for is asked for together with it."""
        with self._lock:
            self._soon[start] = start + length

    def identity(self) -> str:
        return f"{self.size}-{self._tag}"

    def read(self, start: int, into: Bytes) -> None:
        kept = self._cache / f"{start}-{len(into)}" if self._cache else None
        if kept is not None and kept.is_file() and kept.stat().st_size == len(into):
            into[:] = np.fromfile(kept, np.uint8)
            return
        if start + len(into) > self.size:
            raise WeightsError(
                f"the file ends at byte {self.size:,}; {start + len(into):,} were announced",
                where=self.where,
                next="the published file is cut off, or its index is of another one",
            )

        into[:] = self._together(start, len(into))
        if kept is not None:
            _keep(kept, into)

    def _together(self, start: int, length: int) -> Bytes:
        """The bytes of one read, of a request that brings those behind them too."""
        with self._lock:
            mine = [place for place in self._windows if place[0] <= start < place[1]]
            begin, end = next((p for p in mine if start + length <= p[1]), (start, start + length))
            window = self._windows.get((begin, end))
            if asks := window is None:
                self._soon.pop(start, None)
                while end in self._soon and self._soon[end] - start <= TOGETHER:
                    end = self._soon.pop(end)
                window = self._windows[start, end] = Future()
                while len(self._windows) > WINDOWS:  # whoever comes too late asks again
                    self._windows.pop(next(iter(self._windows)))
            elif start + length == end:
                self._windows.pop((begin, end))
        assert window is not None
        if asks:
            try:
                window.set_result(self._asked(start, end))
            except BaseException as problem:
                window.set_exception(problem)
                raise
            finally:
                if end == start + length or window.exception():
                    with self._lock:  # nobody else waits for it, or it did not come
                        self._windows.pop((start, end), None)
        return window.result()[start - begin : start - begin + length]

    def _asked(self, start: int, end: int) -> Bytes:
        def ask() -> Any:
            got = np.frombuffer(self._opened.read(start, end - start), np.uint8)
            if len(got) != end - start:
                raise OSError(f"{len(got):,} bytes came instead of {end - start:,}")
            return got

        got: Bytes = _persistently(ask, self.where, f"reading bytes {start:,} to {end:,}")
        return got


class _Obstore:
    def __init__(self, url: str) -> None:
        try:
            import obstore
            from obstore.store import from_url
        except ImportError:
            raise WeightsError(
                "reading from a URL needs the package obstore",
                where=plain_url(url),
                next="pip install 'truename[remote]'",
            ) from None
        parts = urlsplit(url)
        folder, _, self._name = parts.path.rpartition("/")
        self._query = f"?{parts.query}" if parts.query else ""
        options: dict[str, Any] = {"timeout": "120s", "connect_timeout": "20s", "allow_http": True}
        token = os.environ.get("HF_TOKEN")
        know(token)
        if token and parts.scheme == "https" and parts.hostname == "huggingface.co":
            options["default_headers"] = {"authorization": f"Bearer {token}"}
        self._obstore: Any = obstore
        try:
            self._store: Any = from_url(
                f"{parts.scheme}://{parts.netloc}{folder}", client_options=options
            )
        except Exception as problem:
            raise WeightsError(
                f"the URL cannot be used: {_short(problem)}",
                where=plain_url(url),
                next="write it as https://HOST/FOLDER, s3://BUCKET/FOLDER, gs://... or az://...",
            ) from None

    def about(self) -> dict[str, Any]:
        found = self._obstore.head(self._store, self._name + self._query)
        self._version = {"if_match": found["e_tag"]} if found.get("e_tag") else {}
        if not self._version and found.get("last_modified"):
            self._version = {"if_unmodified_since": found["last_modified"]}
        return {"size": found["size"], "tag": found.get("e_tag") or found.get("last_modified")}

    def read(self, start: int, length: int) -> Any:
        """Bytes of the very file that was asked about: a host that can tell refuses another one."""
        options = {"range": (start, start + length), **self._version}
        found = self._obstore.get(self._store, self._name + self._query, options=options)
        tag, wanted = found.meta.get("e_tag"), self._version.get("if_match")
        if wanted and tag and tag != wanted:  # a host that does not look at the condition
            raise Changed()
        return found.bytes()


class _Fsspec:
    def __init__(self, url: str) -> None:
        try:
            import fsspec

            self._system, self._path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as problem:
            raise WeightsError(
                f"the URL cannot be used: {_short(problem)}",
                where=plain_url(url),
                next="install the package that fsspec names for this scheme, or use https",
            ) from None

    def about(self) -> dict[str, Any]:
        found = self._system.info(self._path)
        tag = found.get("ETag") or found.get("etag") or found.get("mtime") or found.get("created")
        return {"size": found["size"], "tag": tag}

    def read(self, start: int, length: int) -> Any:
        return self._system.cat_file(self._path, start=start, end=start + length)


def _persistently(ask: Any, where: str, what: str) -> Any:
    """Ask until it works, some times; what no repetition mends is told at once."""
    for attempt in range(ATTEMPTS):
        try:
            return ask()
        except WeightsError:
            raise
        except Exception as problem:  # each store has errors of its own
            final = _final(problem, where)
            if final is not None:
                raise final from None
            if attempt == ATTEMPTS - 1:
                raise WeightsError(
                    f"{what} failed {ATTEMPTS} times: {_short(problem)}",
                    where=where,
                    next="run the same command again; what was read is kept",
                ) from None
            threading.Event().wait(0.2 * 4**attempt)
    raise AssertionError


def _final(problem: Exception, where: str) -> WeightsError | None:
    """What a store's error says, if no repetition mends it."""
    said, kind = _short(problem), type(problem).__name__
    if isinstance(problem, Changed) or kind == "PreconditionError":
        return WeightsError(
            "the file changed while it was read",
            where=where,
            next="run the same command again: it reads the new one from its beginning",
        )
    if kind in ("NotFoundError", "FileNotFoundError"):
        return Missing("there is no such file", where=where, next="check the address")
    if kind in ("PermissionDeniedError", "UnauthenticatedError"):
        return WeightsError(
            f"the host refuses: {said}",
            where=where,
            next="for gated models set HF_TOKEN; for buckets the cloud's own credentials",
        )
    if "range" in said.lower() and "support" in said.lower():
        return WeightsError(
            "the host does not answer range requests, so every read would fetch the whole file",
            where=where,
            next="download the checkpoint, and give its folder",
        )
    return None


class Changed(Exception):
    """A file is another one than before."""


class Missing(WeightsError):
    """A file that is not there."""


def _keep(path: Path, content: Bytes) -> None:
    """Keep a piece in the cache; a full disk costs the cache and not the check."""
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content.tofile(part)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


def _short(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:300] or type(problem).__name__


def plain_url(url: str) -> str:
    """A URL without what may be secret: user, password, query."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def is_url(place: str) -> bool:
    return "://" in place


def open_source(place: str | Path, cache: Path | None = None) -> Source:
    """The file at a path or URL."""
    return RemoteFile(str(place), cache) if is_url(str(place)) else LocalFile(Path(place))


def read_json(source: Source, most: int = 200_000_000) -> Mapping[str, Any]:
    """A small JSON object."""
    if source.size > most:
        raise WeightsError(
            f"the file is too large to be what it should be ({source.size:,} bytes)",
            where=source.where,
            next="check the file",
        )
    raw = np.empty(source.size, np.uint8)
    source.read(0, raw)
    try:
        found = json.loads(raw.tobytes())
    except (ValueError, RecursionError) as problem:
        raise WeightsError(
            f"the file is no JSON: {_short(problem)}", where=source.where, next="get the file again"
        ) from None
    if not isinstance(found, dict):
        raise WeightsError(
            "the file holds no JSON object", where=source.where, next="get the file again"
        )
    return found
