"""The journal of samples: what was asked, what was sent, what came back. SQLite by default, any SQLAlchemy URL.

A sample counts once it is committed here. The primary key (run, trial, index) gives exactly-once: a second row
for the same sample cannot be written. Scoring and tally read this store alone.
"""

from __future__ import annotations

import datetime
import os
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Engine, Float, Integer, MetaData, String, Table, Text

from harness.errors import StoreError
from harness.plan import Trial
from harness.targets import Reply

SCHEMA_VERSION = 1
metadata = MetaData()
runs = Table(
    "runs",
    metadata,
    Column("run", String(100), primary_key=True),
    Column("schema_version", Integer, nullable=False),
    Column("created", String(40), nullable=False),
    Column("campaign_sha256", String(64), nullable=False),
    Column("campaign_source", Text, nullable=False),
    Column("campaign_folder", Text, nullable=False),
    Column("versions", Text, nullable=False),
)
targets = Table(
    "targets",
    metadata,
    Column("run", String(100), primary_key=True),
    Column("target", String(64), primary_key=True),
    Column("capabilities", Text, nullable=False),
)
samples = Table(
    "samples",
    metadata,
    Column("run", String(100), primary_key=True),
    Column("trial", String(32), primary_key=True),
    Column("sample", Integer, primary_key=True),
    Column("target", String(64), nullable=False),
    Column("arm", String(300), nullable=False),
    Column("probe", String(64), nullable=False),
    Column("language", String(64), nullable=False),
    Column("question", String(200), nullable=False),
    Column("status", String(20), nullable=False),
    Column("text", Text),
    Column("reasoning", Text),
    Column("finish_reason", Text),
    Column("error", Text),
    Column("messages", Text, nullable=False),
    Column("rendered_prompt", Text),
    Column("rendered_tokens", Integer),
    Column("injected_text", Text),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("template_sha256", String(64)),
    Column("model", Text),
    Column("fingerprint", Text),
    Column("provider", Text),
    Column("response_id", Text),
    Column("seed", sa.BigInteger),
    Column("sent", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column("attempts", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("saved", String(40), nullable=False),
)
_UNSTORABLE = re.compile("[\ud800-\udfff\0]")
COLUMNS = [column.name for column in samples.columns]


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def open_engine(url: str) -> Engine:
    """An engine with the schema in place; SQLite in WAL mode with full durability.

    Raises
    ------
    StoreError
        The database cannot be opened, or was written by a newer truename.
    """
    try:
        engine = sa.create_engine(url)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _sqlite_pragmas)
        metadata.create_all(engine)
    except sa.exc.SQLAlchemyError as problem:
        raise StoreError(
            f"cannot open the journal: {getattr(problem, 'orig', None) or problem}", where=sa.make_url(url).render_as_string(), next="check the path or URL, and that it may be written"
        ) from None
    return engine


def _sqlite_pragmas(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path.resolve()}"


class Sampled(NamedTuple):
    """Replies to one trial, with the seed of each sample number."""

    trial: Trial
    replies: list[Reply]
    seeds: dict[int, int | None]


class Journal:
    """The samples of one run."""

    def __init__(self, engine: Engine, run: str) -> None:
        self.engine, self.run = engine, run

    def describe(self) -> dict[str, Any] | None:
        """The run's row, or None where the journal does not know it."""
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(runs).where(runs.c.run == self.run)).mappings().first()
        return dict(row) if row else None

    def begin(self, campaign_sha256: str, source: str, folder: str, versions: dict[str, str]) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(runs).values(
                    run=self.run, schema_version=SCHEMA_VERSION, created=now(), campaign_sha256=campaign_sha256, campaign_source=source, campaign_folder=folder, versions=_json(versions)
                )
            )

    def remember_target(self, target: str, capabilities: Any) -> None:
        """Store what a target can do; the newest preflight stands."""
        with self.engine.begin() as connection:
            connection.execute(sa.delete(targets).where(targets.c.run == self.run, targets.c.target == target))
            connection.execute(sa.insert(targets).values(run=self.run, target=target, capabilities=_json(capabilities)))

    def capabilities(self) -> dict[str, dict[str, Any]]:
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(targets.c.target, targets.c.capabilities).where(targets.c.run == self.run)).all()
        return {target: msgspec.json.decode(text) for target, text in rows}

    def done(self) -> dict[str, set[int]]:
        """Sample numbers that are in the journal, by trial."""
        found: dict[str, set[int]] = {}
        with self.engine.connect() as connection:
            for trial, sample in connection.execute(sa.select(samples.c.trial, samples.c.sample).where(samples.c.run == self.run)):
                found.setdefault(trial, set()).add(sample)
        return found

    def usage(self) -> tuple[int, int, int, dict[str, tuple[int, int]]]:
        """Rows, rows of unknown usage, all tokens, and (prompt, completion) tokens by target, so far."""
        query = (
            sa.select(samples.c.target, sa.func.count(), sa.func.count(samples.c.completion_tokens), sa.func.sum(samples.c.prompt_tokens), sa.func.sum(samples.c.completion_tokens))
            .where(samples.c.run == self.run, samples.c.status.not_in(("failed", "unsupported")))
            .group_by(samples.c.target)
        )
        rows = unknown = 0
        by_target: dict[str, tuple[int, int]] = {}
        with self.engine.connect() as connection:
            for target, count, known, prompt, completion in connection.execute(query):
                rows, unknown = rows + count, unknown + count - known
                by_target[target] = (prompt or 0, completion or 0)
        return rows, unknown, sum(p + c for p, c in by_target.values()), by_target

    def save(self, batch: Iterable[Sampled]) -> None:
        """Commit the samples of some trials, all or none.

        Raises
        ------
        StoreError
            A sample is there already, or the database cannot be written. Nothing of the batch is then in it.
        """
        rows = [self._row(done.trial, reply, done.seeds[reply.index]) for done in batch for reply in done.replies]
        try:
            with self.engine.begin() as connection:
                connection.execute(sa.insert(samples), rows)
        except sa.exc.IntegrityError:
            raise StoreError("a sample is in the journal already: another process works on this run", where=self.run, next="wait for it to end, then run again") from None
        except sa.exc.OperationalError as problem:
            raise StoreError(
                f"the journal cannot be written: {problem.orig}", where=str(self.engine.url.render_as_string()), next="free space or mend the database, then run again: what was saved is kept"
            ) from None

    def _row(self, trial: Trial, reply: Reply, seed: int | None) -> dict[str, Any]:
        return {
            "run": self.run,
            "trial": trial.key,
            "sample": reply.index,
            "target": trial.target,
            "arm": trial.arm.label,
            "probe": trial.probe,
            "language": trial.language,
            "question": trial.question,
            "status": reply.status,
            "text": _clean(reply.text),
            "reasoning": _clean(reply.reasoning),
            "finish_reason": reply.finish_reason,
            "error": _clean(reply.error),
            "messages": _json(trial.messages),
            "rendered_prompt": _clean(reply.rendered_prompt),
            "rendered_tokens": reply.rendered_tokens,
            "injected_text": _clean(reply.injected_text),
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "template_sha256": reply.template_sha256,
            "model": reply.model,
            "fingerprint": reply.fingerprint,
            "provider": reply.provider,
            "response_id": reply.response_id,
            "seed": seed,
            "sent": _json(reply.sent),
            "raw": _json(reply.raw),
            "attempts": _json(reply.attempts),
            "seconds": round(reply.seconds, 6),
            "saved": now(),
        }

    def rows(self, *, chunk: int = 5000) -> Iterator[dict[str, Any]]:
        """All samples in an order that does not depend on when they came: by target, arm, probe, language, question, trial, number."""
        c = samples.c
        query = sa.select(samples).where(c.run == self.run).order_by(c.target, c.arm, c.probe, c.language, c.question, c.trial, c.sample).execution_options(yield_per=chunk)
        with self.engine.connect() as connection:
            for row in connection.execute(query).mappings():
                yield dict(row)

    def sample(self, trial: str, number: int) -> dict[str, Any] | None:
        """One sample; the trial's key may be shortened as long as it is unique."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(samples).where(samples.c.run == self.run, samples.c.trial.startswith(trial, autoescape=True), samples.c.sample == number).limit(2)).mappings().all()
        if len(rows) > 1:
            raise StoreError(f"several trials begin with '{trial}'", where=self.run, next="give more of the key")
        return dict(rows[0]) if rows else None


class Lock:
    """Keeps a second process off a run; the holder is named. A lock of a dead process frees itself (it is the kernel's)."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._file: Any = None

    def __enter__(self) -> Lock:
        import fcntl

        self._file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise StoreError(f"the run is being sampled by {holder}", where=str(self.path.parent), next="wait for it to end, or stop it and run again") from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}")
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _json(value: Any) -> str:
    return msgspec.json.encode(_clean_deep(value)).decode("utf-8")


def _clean(text: str | None) -> str | None:
    """Text that any database takes: lone surrogates and NUL become the replacement character."""
    return None if text is None else _UNSTORABLE.sub("\ufffd", text)


def _clean_deep(value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {str(k): _clean_deep(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_deep(v) for v in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _clean_deep(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
