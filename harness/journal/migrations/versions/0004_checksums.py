"""A checksum a row of what was sampled, and columns of PostgreSQL as wide as SQLite's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SAMPLED = ("trials", "contexts", "responses")
TABLES = (*SAMPLED, "runs", "targets", "audits", "alarms", "deliveries", "scores")


def upgrade() -> None:
    connection = op.get_bind()
    there = sa.inspect(connection)
    for table in SAMPLED:
        if all(column["name"] != "checksum" for column in there.get_columns(table)):
            kind = sa.Text().with_variant(sa.String(16), "sqlite")
            op.add_column(table, sa.Column("checksum", kind))
    if connection.dialect.name != "postgresql":
        return
    for table in TABLES:
        for column in there.get_columns(table):
            said = str(column["type"])
            if said.startswith("VARCHAR("):
                op.alter_column(table, column["name"], type_=sa.Text())
            elif said == "INTEGER" and column["name"] != "id":
                op.alter_column(table, column["name"], type_=sa.BigInteger())
