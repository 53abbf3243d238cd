"""The journal of samples: what was asked, what was sent, what came back. SQLite by default, any SQLAlchemy URL.

A sample counts once it is committed here. The primary key of a block of samples gives exactly-once: a second row for
the same samples cannot be written. Scoring and tally read this store alone.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Engine, Float, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import sqlite

from harness.campaign.plan import Trial
from harness.errors import StoreError
from harness.journal import migrations
from harness.targets import Context, Reply, Response
from harness.targets.limits import Booked

SCHEMA_VERSION = 2


def _place(name: str) -> Column[int]:
    """A number that is part of a primary key."""
    return Column(name, Integer, primary_key=True, autoincrement=False)


metadata = MetaData()
runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String(100), unique=True, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("created", String(40), nullable=False),
    Column("campaign_sha256", String(64), nullable=False),
    Column("campaign_source", Text, nullable=False),
    Column("campaign_folder", Text, nullable=False),
    Column("plan_sha256", String(64), nullable=False),
    Column("versions", Text, nullable=False),
)
targets = Table(
    "targets",
    metadata,
    _place("run"),
    Column("target", String(64), primary_key=True),
    Column("capabilities", Text, nullable=False),
)
#: One row a trial that was asked, at its place in the plan.
trials = Table(
    "trials",
    metadata,
    _place("run"),
    _place("position"),
    Column("trial", String(32), nullable=False, index=True),
    Column("target", String(64), nullable=False),
    Column("arm", String(300), nullable=False),
    Column("probe", String(64), nullable=False),
    Column("language", String(64), nullable=False),
    Column("question", String(200), nullable=False),
    Column("messages", Text, nullable=False),
)
#: What requests were made of: parameters, and the prompt as far as it is known. Many responses share one.
contexts = Table(
    "contexts",
    metadata,
    _place("run"),
    Column("context", String(32), primary_key=True),
    Column("content", Text, nullable=False),
)
#: One row a block of samples of a trial (`harness.targets.Target.block`), from its first number on. The primary key is
#: what gives exactly-once: a second row for the same block cannot be written, and a block is written whole.
responses = Table(
    "responses",
    metadata,
    _place("run"),
    _place("position"),
    _place("first"),
    Column("samples", Integer, nullable=False),
    Column("replies", Text, nullable=False),
    Column("context", String(32), nullable=False),
    Column("model", Text),
    Column("fingerprint", Text),
    Column("provider", Text),
    Column("response_id", Text),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("seed", sa.BigInteger),
    Column("raw", Text),
    Column("attempts", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("unknown_usage", Integer, nullable=False),
    Column("booked_prompt", sa.BigInteger, nullable=False),
    Column("booked_completion", sa.BigInteger, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("unsupported", Integer, nullable=False),
    Column("truncated", Integer, nullable=False),
    Column("saved", String(40), nullable=False),
    sqlite_with_rowid=False,
)
#: One row an audit that was due. The unique key keeps two servers from the same one; who works on it holds a lease.
audits = Table(
    "audits",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("audit", String(64), nullable=False),
    Column("due", String(40), nullable=False),
    Column("run", String(100), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", Text),
    Column("started", String(40), nullable=False),
    Column("ended", String(40)),
    Column("leased_until", String(40), nullable=False),
    Column("holder", String(100), nullable=False),
    Column("observed", Text),
    Column("requests", Integer, nullable=False),
    Column("tokens", sa.BigInteger, nullable=False),
    Column("money", Float, nullable=False),
    sa.UniqueConstraint("audit", "due"),
)
#: One row an alarm. The event's name is unique: it is raised once.
alarms = Table(
    "alarms",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event", String(200), nullable=False, unique=True),
    Column("audit", String(64), nullable=False),
    Column("due", String(40), nullable=False),
    Column("raised", String(40), nullable=False),
    Column("content", Text, nullable=False),
)
#: One row an alarm and channel, once it was told there; ``attempts`` counts those that failed too.
deliveries = Table(
    "deliveries",
    metadata,
    Column("event", String(200), primary_key=True),
    Column("channel", String(64), primary_key=True),
    Column("told", String(40)),
    Column("attempts", Integer, nullable=False),
    Column("problem", Text),
)
_UNSTORABLE = re.compile("[\ud800-\udfff\0]")
_replies = msgspec.json.Decoder(list[Reply])
_contexts = msgspec.json.Decoder(Context)
_encode = msgspec.json.Encoder().encode
RESPONSE_COLUMNS = [column.name for column in responses.columns]


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def open_engine(url: str) -> Engine:
    """An engine with the schema in place; SQLite in WAL mode with full durability.

    Raises
    ------
    StoreError
        The database cannot be opened, or was written by a newer truename.
    """
    engine = None
    try:
        engine = sa.create_engine(url)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _sqlite_pragmas)
        try:
            _bring_up(engine)
        except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError):
            _bring_up(engine)  # another process did the same at the same moment
    except (sa.exc.SQLAlchemyError, ImportError, StoreError) as problem:
        if engine is not None:
            engine.dispose()
        if isinstance(problem, StoreError):
            raise
        raise StoreError(
            f"cannot open the journal: {getattr(problem, 'orig', None) or problem}",
            where=sa.make_url(url).render_as_string(),
            next="check the path or URL, and that it may be written (PostgreSQL: pip install 'truename[postgres]')",
        ) from None
    return engine


def _bring_up(engine: Engine) -> None:
    """The schema of today: made anew, or migrated from the one that is there; whole or not at all, wherever the process dies."""
    if migrations.revision_of(engine) == migrations.HEAD:
        return
    with migrations.at_once(engine) as connection:
        there = set(sa.inspect(connection).get_table_names())
        found = migrations.revision_in(connection)
        if found is None and ("responses" not in there or migrations.SECOND_BROUGHT & there):
            # an empty database; one of before the first revision, which is refused when its run is opened; or one whose making was
            # killed halfway, by a truename that did not make it at once
            metadata.create_all(connection)
            for (
                table
            ) in metadata.sorted_tables:  # a table that was there is passed over, with its indexes
                for index in table.indexes:
                    index.create(connection, checkfirst=True)
            migrations.stamp(connection, migrations.HEAD)
            return
        if found is None:
            migrations.stamp(connection, migrations.FIRST)
        elif found > migrations.HEAD:
            raise StoreError(
                "the database was written by a newer truename",
                where=engine.url.render_as_string(),
                next="update truename, or give another database",
            )
        migrations.upgrade(connection)


def _sqlite_pragmas(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path.resolve()}"


class Sampled(NamedTuple):
    """A block of samples of a trial, and what it cost."""

    trial: Trial
    response: Response
    booked: Booked


class Counted(NamedTuple):
    """What the journal holds of one target."""

    samples: int
    failed: int
    unsupported: int
    truncated: int
    requests: int
    unknown_usage: int
    prompt: int
    completion: int


class Journal:
    """The samples of one run."""

    def __init__(self, engine: Engine, run: str) -> None:
        self.engine, self.run = engine, run
        self._id: int | None = None
        self._trials: set[int] = set()
        self._contexts: dict[int, tuple[Context, str]] = {}
        insert: Any = sqlite.insert
        if engine.dialect.name == "postgresql":
            from sqlalchemy.dialects import postgresql

            insert = postgresql.insert
        elif engine.dialect.name != "sqlite":
            raise StoreError(
                f"no journal can be kept in a database of kind '{engine.dialect.name}'",
                where=engine.url.render_as_string(),
                next="give a SQLite or PostgreSQL URL",
            )
        self._new_trial, self._new_context = (
            insert(trials).on_conflict_do_nothing(),
            insert(contexts).on_conflict_do_nothing(),
        )

    @property
    def id(self) -> int:
        """The run's number in this database."""
        if self._id is None:
            with self.engine.connect() as connection:
                self._id = connection.execute(
                    sa.select(runs.c.id).where(runs.c.run == self.run)
                ).scalar()
        return -1 if self._id is None else self._id

    def describe(self) -> dict[str, Any] | None:
        """The run's row, or None where the journal does not know it.

        Raises
        ------
        StoreError
            The run was sampled by another version of truename, whose tables differ.
        """
        try:
            with self.engine.connect() as connection:
                row = (
                    connection.execute(sa.select(runs).where(runs.c.run == self.run))
                    .mappings()
                    .first()
                )
        except sa.exc.OperationalError:
            raise StoreError(
                "the journal was written by another version of truename",
                where=self.run,
                next="use that version for this run, or start anew with --run ANOTHER-NAME",
            ) from None
        return dict(row) if row else None

    def begin(
        self,
        campaign_sha256: str,
        source: str,
        folder: str,
        plan_sha256: str,
        versions: dict[str, str],
    ) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(runs).values(
                    run=self.run,
                    schema_version=SCHEMA_VERSION,
                    created=now(),
                    campaign_sha256=campaign_sha256,
                    campaign_source=source,
                    campaign_folder=folder,
                    plan_sha256=plan_sha256,
                    versions=_json(versions),
                )
            )

    def rename(self, name: str) -> None:
        """Give the run another name."""
        with self.engine.begin() as connection:
            connection.execute(sa.update(runs).where(runs.c.run == self.run).values(run=name))
        self.run = name

    def renew(self, source: str, folder: str) -> None:
        """Keep the campaign's newest text: what decides the samples is the same, budget and pace may differ."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.update(runs)
                .where(runs.c.run == self.run)
                .values(campaign_source=source, campaign_folder=folder)
            )

    def remember_target(self, target: str, capabilities: Any) -> None:
        """Store what a target can do; the newest preflight stands."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.delete(targets).where(targets.c.run == self.id, targets.c.target == target)
            )
            connection.execute(
                sa.insert(targets).values(
                    run=self.id, target=target, capabilities=_json(capabilities)
                )
            )

    def capabilities(self) -> dict[str, dict[str, Any]]:
        with self.engine.connect() as connection:
            rows = connection.execute(
                sa.select(targets.c.target, targets.c.capabilities).where(targets.c.run == self.id)
            ).all()
        return {target: msgspec.json.decode(text) for target, text in rows}

    def notes(self) -> list[str]:
        """What everybody has to know of the targets."""
        return sorted(
            {note for can in self.capabilities().values() for note in can.get("notes", ())}
        )

    def done(self, positions: range) -> set[tuple[int, int]]:
        """(position, first sample) of the blocks in the journal, of trials at some places."""
        c = responses.c
        query = sa.select(c.position, c.first).where(
            c.run == self.id, c.position >= positions.start, c.position < positions.stop
        )
        with self.engine.connect() as connection:
            return {(position, first) for position, first in connection.execute(query)}

    def replies(self, positions: range) -> Iterator[tuple[int, list[Reply]]]:
        """(position, replies) of each block in the journal, of trials at some places."""
        c = responses.c
        query = (
            sa.select(c.position, c.replies)
            .where(c.run == self.id, c.position >= positions.start, c.position < positions.stop)
            .order_by(c.position, c.first)
        )
        with self.engine.connect() as connection:
            for position, said in connection.execution_options(yield_per=1000).execute(query):
                yield position, _replies.decode(said)

    def forget_failed(self) -> int:
        """Take blocks with a failed sample out of the journal, so that they are owed again; how many samples that were."""
        c = responses.c
        mine = sa.and_(c.run == self.id, c.failed > 0)
        with self.engine.begin() as connection:
            samples = connection.execute(
                sa.select(sa.func.coalesce(sa.func.sum(c.failed), 0)).where(mine)
            ).scalar_one()
            connection.execute(sa.delete(responses).where(mine))
        return int(samples)

    def counted(self, positions: range) -> Counted:
        """What the journal holds of the trials at some places."""
        c = responses.c
        sums = (
            c.samples,
            c.failed,
            c.unsupported,
            c.truncated,
            c.requests,
            c.unknown_usage,
            c.booked_prompt,
            c.booked_completion,
        )
        query = sa.select(*(sa.func.coalesce(sa.func.sum(column), 0) for column in sums)).where(
            c.run == self.id, c.position >= positions.start, c.position < positions.stop
        )
        with self.engine.connect() as connection:
            return Counted(*map(int, connection.execute(query).one()))

    def save(self, batch: Sequence[Sampled]) -> None:
        """Commit the blocks of some trials, all or none.

        Raises
        ------
        StoreError
            A block is there already, or the database cannot be written. Nothing of the batch is then in it.
        """
        saved, run = now(), self.id
        new_trials = {
            done.trial.position: done.trial
            for done in batch
            if done.trial.position not in self._trials
        }
        new_contexts: dict[str, Context] = {}
        rows = [self._row(done, run, saved, new_contexts) for done in batch]
        try:
            with self.engine.begin() as connection:
                if new_trials:
                    connection.execute(
                        self._new_trial, [_trial_row(run, trial) for trial in new_trials.values()]
                    )
                if new_contexts:
                    connection.execute(
                        self._new_context,
                        [
                            {"run": run, "context": key, "content": _json(context)}
                            for key, context in new_contexts.items()
                        ],
                    )
                if (
                    self.engine.dialect.name == "sqlite"
                ):  # a third of the time of the same through Core
                    connection.exec_driver_sql(_INSERT_RESPONSES, rows)
                else:
                    connection.execute(
                        sa.insert(responses),
                        [dict(zip(RESPONSE_COLUMNS, row, strict=True)) for row in rows],
                    )
        except sa.exc.IntegrityError:
            raise StoreError(
                "a sample is in the journal already: another process works on this run",
                where=self.run,
                next="wait for it to end, then run again",
            ) from None
        except sa.exc.DBAPIError as problem:
            raise StoreError(
                f"the journal cannot be written: {problem.orig}",
                where=self.engine.url.render_as_string(),
                next="free space or mend the database, then run again: what was saved is kept",
            ) from None
        if len(self._trials) > KNOWN_AT_MOST:
            self._trials.clear()
        self._trials.update(new_trials)

    def _row(
        self, done: Sampled, run: int, saved: str, new_contexts: dict[str, Context]
    ) -> tuple[Any, ...]:
        response, replies = done.response, done.response.replies
        try:
            said = _encode(replies).decode("utf-8")
            said = _cleaned(said) if "\\u0000" in said else said
        except UnicodeEncodeError:  # lone surrogates
            said = _encode(_clean_deep([msgspec.to_builtins(reply) for reply in replies])).decode(
                "utf-8"
            )
        return (
            run,
            done.trial.position,
            replies[0].index,
            len(replies),
            said,
            self._context(response.context, new_contexts),
            _clean(response.model),
            _clean(response.fingerprint),
            _clean(response.provider),
            _clean(response.response_id),
            response.prompt_tokens,
            response.completion_tokens,
            response.seed,
            _clean(response.raw),
            _OK if response.attempts == ("ok",) else _json(response.attempts),
            round(response.seconds, 6),
            *done.booked,
            *(
                (0, 0, 0)
                if response.whole
                else (
                    response.having("failed"),
                    response.having("unsupported"),
                    response.having("truncated"),
                )
            ),
            saved,
        )

    def _context(self, context: Context, new: dict[str, Context]) -> str:
        known = self._contexts.get(id(context))
        if known is not None and known[0] is context:
            return known[1]
        key = hashlib.sha256(_json(context).encode()).hexdigest()[:32]
        if len(self._contexts) > KNOWN_AT_MOST // 10:
            self._contexts.clear()
        self._contexts[id(context)] = context, key
        new[key] = context
        return key

    def rows(self) -> Iterator[dict[str, Any]]:
        """All samples in the order of the plan: by target, arm, probe, language, question, number; however they came."""
        t, r = trials.c, responses.c
        about = (t.trial, t.target, t.arm, t.probe, t.language, t.question, t.messages)
        query = (
            sa.select(responses, *about, contexts.c.content)
            .join(trials, sa.and_(t.run == r.run, t.position == r.position))
            .join(contexts, sa.and_(contexts.c.run == r.run, contexts.c.context == r.context))
            .where(r.run == self.id)
            .order_by(r.position, r.first)
            .execution_options(yield_per=1000)
        )
        with self.engine.connect() as connection:
            for row in connection.execute(query).mappings():
                yield from _samples(dict(row))

    def sample(self, trial: str, number: int) -> dict[str, Any] | None:
        """One sample; the trial's key may be shortened as long as it is unique."""
        t, r = trials.c, responses.c
        with self.engine.connect() as connection:
            found = (
                connection.execute(
                    sa.select(trials)
                    .where(t.run == self.id, t.trial.startswith(trial, autoescape=True))
                    .limit(2)
                )
                .mappings()
                .all()
            )
            if len(found) > 1:
                raise StoreError(
                    f"several trials begin with '{trial}'",
                    where=self.run,
                    next="give more of the key",
                )
            if not found:
                return None
            query = sa.select(responses, contexts.c.content).join(
                contexts, sa.and_(contexts.c.run == r.run, contexts.c.context == r.context)
            )
            row = (
                connection.execute(
                    query.where(
                        r.run == self.id, r.position == found[0]["position"], r.first <= number
                    )
                    .order_by(r.first.desc())
                    .limit(1)
                )
                .mappings()
                .first()
            )
        return (
            next(
                (sample for sample in _samples({**found[0], **row}) if sample["sample"] == number),
                None,
            )
            if row
            else None
        )


_OK = '["ok"]'
_INSERT_RESPONSES = "INSERT INTO responses VALUES (" + ", ".join("?" * len(RESPONSE_COLUMNS)) + ")"  # noqa: S608  (no text of others in it)
#: Trials and contexts that a journal remembers to have written; what it forgets is offered again and changes nothing.
KNOWN_AT_MOST = 100_000


def _trial_row(run: int, trial: Trial) -> dict[str, Any]:
    about = {
        "target": trial.target,
        "arm": trial.arm.label,
        "probe": trial.probe,
        "language": trial.language,
        "question": trial.question,
    }
    return {
        "run": run,
        "position": trial.position,
        "trial": trial.key,
        **about,
        "messages": _json(trial.messages),
    }


def _samples(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A stored block as one row a sample."""
    context = _contexts.decode(row["content"])
    shared = {
        name: row[name]
        for name in (
            "trial",
            "target",
            "arm",
            "probe",
            "language",
            "question",
            "messages",
            "prompt_tokens",
            "model",
            "fingerprint",
            "provider",
            "response_id",
        )
    }
    shared |= {
        "rendered_prompt": context.rendered_prompt,
        "rendered_tokens": context.rendered_tokens,
        "injected_text": context.injected_text,
        "template_sha256": context.template_sha256,
        "sent": _json(context.sent),
        "attempts": row["attempts"],
        "seconds": row["seconds"],
        "raw": row["raw"],
        "saved": row["saved"],
    }
    for reply in _replies.decode(row["replies"]):
        yield shared | {
            "sample": reply.index,
            "status": reply.status,
            "text": reply.text,
            "reasoning": reply.reasoning,
            "finish_reason": reply.finish_reason,
            "error": reply.error,
            "completion_tokens": reply.completion_tokens,
            "seed": row["seed"] if reply.seed is None else reply.seed,
        }


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
            raise StoreError(
                f"the run is being sampled by {holder}",
                where=str(self.path.parent),
                next="wait for it to end, or stop it and run again",
            ) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}")
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _json(value: Any) -> str:
    try:
        said = _encode(value).decode("utf-8")
    except UnicodeEncodeError:
        return _encode(_clean_deep(msgspec.to_builtins(value))).decode("utf-8")
    return _cleaned(said) if "\\u0000" in said else said


def _cleaned(said: str) -> str:
    """JSON without NUL."""
    return _encode(_clean_deep(msgspec.json.decode(said))).decode("utf-8")


def _clean(text: str | None) -> str | None:
    """Text that any database takes: lone surrogates and NUL become the replacement character."""
    if not text or (text.isascii() and "\0" not in text):
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _clean_deep(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean_deep(k): _clean_deep(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_deep(v) for v in value]
    return value
