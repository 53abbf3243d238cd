"""The tables of the database: runs with their samples, scores of texts, and what audits saw.

A change of a table is a new revision in `migrations/versions/` too.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

#: What a run is written as; from the second number on each of its rows has a checksum.
SCHEMA_VERSION, SUMMED_FROM = 3, 3

#: SQLite keeps any number of 64 bits and text of any length whatever a column says; PostgreSQL
#: keeps what it says, so it says as much there.
WHOLE: Final = sa.BigInteger().with_variant(Integer(), "sqlite")


def _words(longest: int) -> Any:
    """Text that is mostly shorter than some length."""
    return Text().with_variant(String(longest), "sqlite")


def _place(name: str) -> Column[int]:
    """A number that is part of a primary key."""
    return Column(name, WHOLE, primary_key=True, autoincrement=False)


def _checksum() -> Column[str | None]:
    """Of what the row says (`checksums.py`); rows of runs of before `SUMMED_FROM` may have none."""
    return Column("checksum", _words(16))


metadata = MetaData()
runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", _words(100), unique=True, nullable=False),
    Column("schema_version", WHOLE, nullable=False),
    Column("created", _words(40), nullable=False),
    Column("campaign_sha256", _words(64), nullable=False),
    Column("campaign_source", Text, nullable=False),
    Column("campaign_folder", Text, nullable=False),
    Column("plan_sha256", _words(64), nullable=False),
    Column("versions", Text, nullable=False),
)
targets = Table(
    "targets",
    metadata,
    _place("run"),
    Column("target", _words(64), primary_key=True),
    Column("capabilities", Text, nullable=False),
)
#: One row a trial that was asked, at its place in the plan.
trials = Table(
    "trials",
    metadata,
    _place("run"),
    _place("position"),
    Column("trial", _words(32), nullable=False, index=True),
    Column("target", _words(64), nullable=False),
    Column("arm", _words(300), nullable=False),
    Column("probe", _words(64), nullable=False),
    Column("language", _words(64), nullable=False),
    Column("question", _words(200), nullable=False),
    Column("messages", Text, nullable=False),
    _checksum(),
)
#: What requests were made of: parameters, and the prompt as far as it is known. Many responses
#: share one.
contexts = Table(
    "contexts",
    metadata,
    _place("run"),
    Column("context", _words(32), primary_key=True),
    Column("content", Text, nullable=False),
    _checksum(),
)
#: One row a block of samples of a trial (`harness.targets.Target.block`), from its first number on.
#: The primary key is what gives exactly-once: a second row for the same block cannot be written,
#: and a block is written whole.
responses = Table(
    "responses",
    metadata,
    _place("run"),
    _place("position"),
    _place("first"),
    Column("samples", WHOLE, nullable=False),
    Column("replies", Text, nullable=False),
    Column("context", _words(32), nullable=False),
    Column("model", Text),
    Column("fingerprint", Text),
    Column("provider", Text),
    Column("response_id", Text),
    Column("prompt_tokens", WHOLE),
    Column("completion_tokens", WHOLE),
    Column("seed", sa.BigInteger),
    Column("raw", Text),
    Column("attempts", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("requests", WHOLE, nullable=False),
    Column("unknown_usage", WHOLE, nullable=False),
    Column("booked_prompt", sa.BigInteger, nullable=False),
    Column("booked_completion", sa.BigInteger, nullable=False),
    Column("failed", WHOLE, nullable=False),
    Column("unsupported", WHOLE, nullable=False),
    Column("truncated", WHOLE, nullable=False),
    Column("saved", _words(40), nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)
#: One row an audit that was due. The unique key keeps two servers from the same one; who works on
#: it holds a lease.
audits = Table(
    "audits",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("audit", _words(64), nullable=False),
    Column("due", _words(40), nullable=False),
    Column("run", _words(100), nullable=False),
    Column("status", _words(16), nullable=False),
    Column("reason", Text),
    Column("started", _words(40), nullable=False),
    Column("ended", _words(40)),
    Column("leased_until", _words(40), nullable=False),
    Column("holder", _words(100), nullable=False),
    Column("observed", Text),
    Column("requests", WHOLE, nullable=False),
    Column("tokens", sa.BigInteger, nullable=False),
    Column("money", Float, nullable=False),
    #: The share of the month's budget that is used after it; what it saw was judged.
    Column("budget_used", Float),
    Column("judged", WHOLE),
    sa.UniqueConstraint("audit", "due"),
)
#: One row an alarm. The event's name is unique: it is raised once.
alarms = Table(
    "alarms",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event", _words(200), nullable=False, unique=True),
    Column("audit", _words(64), nullable=False),
    Column("due", _words(40), nullable=False),
    Column("raised", _words(40), nullable=False),
    Column("content", Text, nullable=False),
    #: When somebody said that they know of it, and when it was over (and by which event).
    Column("acked", _words(40)),
    Column("closed", _words(40)),
    Column("closed_by", _words(200)),
)
#: One row an alarm and channel, once it was told there; ``attempts`` counts those that failed too.
#: Who tells it holds a lease meanwhile.
deliveries = Table(
    "deliveries",
    metadata,
    Column("event", _words(200), primary_key=True),
    Column("channel", _words(64), primary_key=True),
    Column("told", _words(40)),
    Column("attempts", WHOLE, nullable=False),
    Column("problem", Text),
    Column("leased_until", _words(40)),
    Column("holder", _words(100)),
    Column("reminders", WHOLE),
)
#: From which row of `audits` on something holds: a witness is watched, a baseline is compared with,
#: a schedule is kept. Nothing before it is judged by it.
beginnings = Table(
    "beginnings",
    metadata,
    Column("audit", _words(64), primary_key=True),
    Column("what", _words(200), primary_key=True),
    Column("since", WHOLE, nullable=False),
)
#: The first row of `alarms` that a channel is told, for it came after the channel.
channels = Table(
    "channels",
    metadata,
    Column("audit", _words(64), primary_key=True),
    Column("channel", _words(64), primary_key=True),
    Column("since", WHOLE, nullable=False),
)
#: Changes that somebody wanted: after a row of `audits` what a target shows is what it should be.
accepted = Table(
    "accepted",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("audit", _words(64), nullable=False),
    Column("after", WHOLE, nullable=False),
    Column("target", _words(64)),
    Column("witness", _words(64)),
    Column("at", _words(40), nullable=False),
)
#: Times in which nobody wants to be told.
silences = Table(
    "silences",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("audit", _words(64), nullable=False),
    Column("target", _words(64)),
    Column("begins", _words(40), nullable=False),
    Column("until", _words(40), nullable=False),
)
#: What a scorer found in a text, by digests of both: whoever meets the text again need not score
#: it.
scores = Table(
    "scores",
    metadata,
    Column("scorer", _words(16), primary_key=True),
    Column("text", sa.LargeBinary(16), primary_key=True),
    Column("found", Text, nullable=False),
    sqlite_with_rowid=False,
)
RESPONSE_COLUMNS = [column.name for column in responses.columns]
