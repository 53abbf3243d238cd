"""The journal: runs, targets, trials, contexts, responses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _place(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", sa.String(100), unique=True, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("campaign_sha256", sa.String(64), nullable=False),
        sa.Column("campaign_source", sa.Text, nullable=False),
        sa.Column("campaign_folder", sa.Text, nullable=False),
        sa.Column("plan_sha256", sa.String(64), nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
    )
    op.create_table(
        "targets",
        _place("run"),
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("capabilities", sa.Text, nullable=False),
    )
    op.create_table(
        "trials",
        _place("run"),
        _place("position"),
        sa.Column("trial", sa.String(32), nullable=False, index=True),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("arm", sa.String(300), nullable=False),
        sa.Column("probe", sa.String(64), nullable=False),
        sa.Column("language", sa.String(64), nullable=False),
        sa.Column("question", sa.String(200), nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
    )
    op.create_table(
        "contexts",
        _place("run"),
        sa.Column("context", sa.String(32), primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
    )
    counts = [
        sa.Column(name, sa.Integer, nullable=False)
        for name in ("failed", "unsupported", "truncated")
    ]
    op.create_table(
        "responses",
        _place("run"),
        _place("position"),
        _place("first"),
        sa.Column("samples", sa.Integer, nullable=False),
        sa.Column("replies", sa.Text, nullable=False),
        sa.Column("context", sa.String(32), nullable=False),
        *(sa.Column(name, sa.Text) for name in ("model", "fingerprint", "provider", "response_id")),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("seed", sa.BigInteger),
        sa.Column("raw", sa.Text),
        sa.Column("attempts", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("unknown_usage", sa.Integer, nullable=False),
        sa.Column("booked_prompt", sa.BigInteger, nullable=False),
        sa.Column("booked_completion", sa.BigInteger, nullable=False),
        *counts,
        sa.Column("saved", sa.String(40), nullable=False),
        sqlite_with_rowid=False,
    )
