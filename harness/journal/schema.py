"""The tables of the database: runs with their samples, scores of texts, and what audits saw.

A change of a table is a new revision in `migrations/versions/` too.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

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
#: What requests were made of: parameters, and the prompt as far as it is known. Many responses
#: share one.
contexts = Table(
    "contexts",
    metadata,
    _place("run"),
    Column("context", String(32), primary_key=True),
    Column("content", Text, nullable=False),
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
#: One row an audit that was due. The unique key keeps two servers from the same one; who works on
#: it holds a lease.
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
#: What a scorer found in a text, by digests of both: whoever meets the text again need not score
#: it.
scores = Table(
    "scores",
    metadata,
    Column("scorer", String(16), primary_key=True),
    Column("text", sa.LargeBinary(16), primary_key=True),
    Column("found", Text, nullable=False),
    sqlite_with_rowid=False,
)
RESPONSE_COLUMNS = [column.name for column in responses.columns]
