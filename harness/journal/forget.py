"""Prompts and replies of a run are forgotten, and with them what scorers found in the replies."""

from __future__ import annotations

import sqlalchemy as sa

from harness.journal.rows import decode_replies
from harness.journal.schema import contexts, responses, trials
from harness.journal.scores import forget, text_key


def forget_samples(connection: sa.Connection, run: int) -> None:
    """Delete the trials, contexts and responses of a run, and the scores of its texts.

    The run is given by its number. A text that another run holds too loses its score as well, and
    is scored again when it is met.
    """
    mine = sa.select(responses.c.replies).where(responses.c.run == run)
    for said in connection.execute(mine).scalars().partitions(1000):
        replies = [reply for block in said for reply in decode_replies(block)]
        texts = [text for reply in replies for text in (reply.text, reply.reasoning) if text]
        forget(connection, map(text_key, texts))
    for table in (responses, contexts, trials):
        connection.execute(sa.delete(table).where(table.c.run == run))
