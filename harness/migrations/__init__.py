"""The database's schema from the first version on, for Alembic. `harness.store.open_engine` brings any database up to the last one.

A change of tables is a new file in `versions/`, and the last revision's name in `HEAD`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Engine

HEAD: Final = "0002"
#: The journal as it was before its schema had revisions.
FIRST: Final = "0001"
version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


def revision_of(engine: Engine) -> str | None:
    """The revision of a database; None where it has none."""
    try:
        with engine.connect() as connection:
            return connection.execute(sa.select(version.c.version_num)).scalar()
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        return None


def stamp(engine: Engine, revision: str) -> None:
    """Write down the revision of a database."""
    version.create(engine, checkfirst=True)
    with engine.begin() as connection:
        connection.execute(sa.delete(version))
        connection.execute(sa.insert(version).values(version_num=revision))


def upgrade(engine: Engine, to: str = HEAD) -> None:
    """Bring a database up to a revision."""
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, to)
