"""From a text to the verdict on it.

::

    text -> Reply        its own turn, normalised; names of the book and others found  (reply.py)
         -> first look   the words around each mention -> how likely each role is   (features.py)
         -> second look  the mentions of the reply beside each other -> the same      (second.py)
         -> judging      what a mention says, if it is likely enough                 (judging.py)
         -> claims       less what the reply takes back                               (claims.py)
         -> Verdict      name, maker and base are three facts and stay three

Where nothing is said, sentences that decline make a reply that refuses. Replies go through in
batches; all numbers that decide stand in `thresholds.py`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np

from harness.scoring import thresholds
from harness.scoring.buckets import Bools
from harness.scoring.claims import Said, revised
from harness.scoring.classifier import Floats, Linear, models
from harness.scoring.features import Tokens
from harness.scoring.found import Evidence, Stance, Verdict
from harness.scoring.judging import judged
from harness.scoring.reply import Reply
from harness.scoring.roles import IS_NAME, IS_OTHER, OWN, ROLES
from harness.scoring.second import Sight, blended, declining, described
from harness.scoring.vocabulary import numbered

#: Replies, and characters, that are looked at together.
BATCH, BATCH_CHARACTERS = 2500, 1_000_000


_NOTHING: Final = Verdict("none")
_REFUSES: Final = Verdict("refuses")


def verdicts(texts: Iterable[str | None]) -> Iterator[Verdict]:
    """Verdicts in the order of ``texts``, in batches.

    None and blank texts say nothing. Reasoning is to be cut off before.
    """
    for some in _batches(texts):
        different = list(dict.fromkeys(some))  # a model repeats itself
        with _uncollected():
            found = dict(zip(different, _together(different), strict=True))
        yield from map(found.__getitem__, some)


def verdict(text: str | None) -> Verdict:
    """The verdict on one visible reply."""
    return next(verdicts([text]))


def names_in(texts: Iterable[str | None]) -> list[tuple[str, ...]]:
    """The names that each text claims."""
    return [found.names for found in verdicts(texts)]


def _together(texts: Sequence[str | None]) -> list[Verdict]:
    """The verdicts on some replies, which are looked at together."""
    replies, tokens = prepared(texts)
    chances = _looked_at(replies, tokens)
    hedged, refuses = _hedged(replies, tokens), _refusing(replies, tokens, chances)
    return [
        _combine(reply, hedged=number in hedged, refuses=number in refuses)
        for number, reply in enumerate(replies)
    ]


def prepared(texts: Sequence[str | None]) -> tuple[list[Reply], Tokens]:
    """Some replies with their mentions, and their tokens with marks in the mentions' places."""
    replies = [Reply(text) for text in texts]
    return replies, Tokens(numbered(map(Reply.masked, replies)))


def first_look(replies: Sequence[Reply], tokens: Tokens, roles: Linear) -> list[Sight]:
    """What the words around each mention tell, reply by reply."""
    places = tokens.marks()
    windows = tokens.windows(places)
    chances, sentence = roles.probabilities(windows.found), tokens.sentence[places]
    ends = np.cumsum([0, *(len(reply.mentions) for reply in replies)]).tolist()
    lengths = np.diff(tokens.starts).tolist()
    return [
        Sight(chances[a:b], windows.nobody[a:b], windows.field[a:b], sentence[a:b], length)
        for a, b, length in zip(ends[:-1], ends[1:], lengths, strict=True)
    ]


def _looked_at(replies: list[Reply], tokens: Tokens) -> list[Floats]:
    """How likely each role of each mention is; ``said`` of the replies is filled."""
    sights = first_look(replies, tokens, models().first.roles)
    chances = [sight.chances for sight in sights]
    telling = [
        number
        for number, seen in enumerate(chances)
        if len(seen) and seen[:, IS_OTHER].min() <= thresholds.NOTHING
    ]
    if not telling:
        return chances
    tables = [described(replies[number].mentions, sights[number]) for number in telling]
    ends = np.cumsum([len(table) for table in tables])[:-1]
    again = np.split(models().second.probabilities(np.concatenate(tables)), ends)
    for number, second in zip(telling, again, strict=True):
        chances[number] = blended(chances[number], second)
        _judge(replies[number], chances[number], sights[number])
    return chances


def _judge(reply: Reply, chances: Floats, sight: Sight) -> None:
    """Fill ``reply.said`` by how likely the roles of its mentions are."""
    text = reply.normal.text
    for mention, mine, sentence in zip(
        reply.mentions, chances.tolist(), sight.sentence.tolist(), strict=True
    ):
        if found := judged(mention, mine, text):
            reply.said.append(Said(mention, sentence, *found))
    reply.said = revised(reply.said, text)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage meanwhile.

    What is made for some replies holds no cycles, and a search walks over all else that is loaded.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _batches(texts: Iterable[str | None]) -> Iterator[list[str | None]]:
    """Replies, some together; long ones fewer."""
    batch: list[str | None] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text or "")
        if len(batch) == BATCH or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _hedged(replies: Sequence[Reply], tokens: Tokens) -> set[int]:
    """The numbers of the replies with a claim in a sentence that is uncertain."""
    chosen = np.zeros(len(tokens.begins), dtype=bool)
    chosen[[s.sentence for reply in replies for s in reply.said if s.role in OWN]] = True
    bags = tokens.bags(chosen, tokens.unmarked())
    sure = models().first.hedged.probabilities(bags)[:, 0] > thresholds.LIKELY
    return set(tokens.reply_of_sentences[np.flatnonzero(chosen)[sure]].tolist())


def _refusing(replies: Sequence[Reply], tokens: Tokens, chances: Sequence[Floats]) -> set[int]:
    """The numbers of the replies that say nothing of their identity and decline to."""
    silent = np.array([not reply.said for reply in replies])
    tables = dict(declined(replies, tokens, chances, models().first.refuses, silent))
    if not tables:
        return set()
    sure = models().declines.probabilities(np.stack(list(tables.values())))[:, 0]
    return {number for number, p in zip(tables, sure, strict=True) if p > thresholds.LIKELY}


def declined(
    replies: Sequence[Reply],
    tokens: Tokens,
    chances: Sequence[Floats],
    refuses: Linear,
    which: Bools,
) -> Iterator[tuple[int, Floats]]:
    """The numbers of the replies, of ``which``, that a sentence could decline in.

    With each, the columns that tell whether it does.
    """
    keep = tokens.unquoted()
    short = np.array([not reply.normal.text.isascii() for reply in replies])
    chosen = tokens.could_refuse(keep, short) & which[tokens.reply_of_sentences]
    sentences = np.zeros(len(chosen), dtype=np.float32)
    sentences[chosen] = refuses.probabilities(tokens.bags(chosen, keep))[:, 0]
    of_reply = tokens.reply_of_sentences
    lengths = np.diff(tokens.starts).tolist()
    for number in np.unique(of_reply[chosen]).tolist():
        first, last = np.searchsorted(of_reply, (number, number + 1))
        yield number, declining(sentences[first:last], chances[number], lengths[number])


def _combine(reply: Reply, *, hedged: bool, refuses: bool) -> Verdict:
    if not reply.said:
        return _REFUSES if refuses else _NOTHING
    parts: tuple[dict[str, None], ...] = ({}, {}, {}, {}, {})  # by role; dicts keep the order
    evidence, best, version = [], 0.0, None
    for mention, _, role, identity, probability in reply.said:
        parts[role][identity] = None
        best = max(best, probability)
        if role == IS_NAME and version is None:
            version = mention.version
        start, end = reply.normal.span(mention.start, mention.end)
        evidence.append(Evidence(ROLES[role], identity, start, end, round(probability, 4)))
    denied, _, base, makers, names = parts
    not_own = tuple([i for i in denied if i not in names and i not in makers]) if denied else ()
    stance: Stance = "refuses" if refuses else "none"
    if names or makers or base:
        stance = "claims"
    elif not_own:
        stance = "denies"
    identities = (tuple(names), tuple(makers), tuple(base), not_own)
    weak = best < thresholds.ABSTAINS
    return Verdict(stance, *identities, hedged, weak, version, tuple(evidence))
