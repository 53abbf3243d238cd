"""What scorers found in texts, so that each is scored once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "scores",
        sa.Column("scorer", sa.String(16), primary_key=True),
        sa.Column("text", sa.LargeBinary(16), primary_key=True),
        sa.Column("found", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
