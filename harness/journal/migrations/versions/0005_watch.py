"""What an operator says of alarms, since when what is watched, and who tells what right now.

What was raised before is over: nothing of the past is judged or told anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _words(longest: int) -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.String(longest), "sqlite")


_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COLUMNS = {
    "audits": (("budget_used", sa.Float()), ("judged", _WHOLE)),
    "alarms": (("acked", _words(40)), ("closed", _words(40)), ("closed_by", _words(200))),
    "deliveries": (
        ("leased_until", _words(40)),
        ("holder", _words(100)),
        ("reminders", _WHOLE),
    ),
}


def upgrade() -> None:
    there = sa.inspect(op.get_bind())
    for table, columns in COLUMNS.items():
        known = {column["name"] for column in there.get_columns(table)}
        for name, kind in columns:
            if name not in known:
                op.add_column(table, sa.Column(name, kind))
    op.execute("UPDATE audits SET judged = 1 WHERE status <> 'running'")
    op.execute("UPDATE alarms SET closed = raised WHERE closed IS NULL")
    tables = set(there.get_table_names())
    if "beginnings" not in tables:
        op.create_table(
            "beginnings",
            sa.Column("audit", _words(64), primary_key=True),
            sa.Column("what", _words(200), primary_key=True),
            sa.Column("since", _WHOLE, nullable=False),
        )
    if "channels" not in tables:
        op.create_table(
            "channels",
            sa.Column("audit", _words(64), primary_key=True),
            sa.Column("channel", _words(64), primary_key=True),
            sa.Column("since", _WHOLE, nullable=False),
        )
    if "accepted" not in tables:
        op.create_table(
            "accepted",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("audit", _words(64), nullable=False),
            sa.Column("after", _WHOLE, nullable=False),
            sa.Column("target", _words(64)),
            sa.Column("witness", _words(64)),
            sa.Column("at", _words(40), nullable=False),
        )
    if "silences" not in tables:
        op.create_table(
            "silences",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("audit", _words(64), nullable=False),
            sa.Column("target", _words(64)),
            sa.Column("begins", _words(40), nullable=False),
            sa.Column("until", _words(40), nullable=False),
        )
