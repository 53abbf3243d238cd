"""From the roles of mentions to the verdict on one reply. Name, maker and base are three facts and stay three."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import Final, Literal, NamedTuple

import numpy as np

from harness.campaign.identities import load_book
from harness.scoring.claims import (
    IS_BASE,
    IS_DENIED,
    IS_MAKER,
    IS_NAME,
    IS_OTHER,
    NAME_LEAST,
    OWN,
    SURE,
    Said,
    revised,
)
from harness.scoring.classifier import Linear, models
from harness.scoring.features import (
    BORDER,
    EITHER,
    MAKER,
    MARKS,
    NAME,
    SHORT,
    Bools,
    Tokens,
    numbered,
)
from harness.scoring.glance import Glance
from harness.scoring.mentions import Mention, finder
from harness.scoring.normalize import Normal, normalize
from harness.scoring.slips import (
    begins_an_alias,
    cut_short,
    makers_expected,
    makers_named,
    misspelt,
    typo,
)
from harness.scoring.training import ROLES
from harness.scoring.unlisted import unlisted

Stance = Literal["claims", "denies", "refuses", "none"]
#: Replies, and characters, that are looked at together.
BATCH, BATCH_CHARACTERS = 2500, 1_000_000
#: How sure the role of a mention has to be: of the book; of a weak alias; of a homograph where nobody speaks of itself; of a
#: name that no book lists; of one where nobody speaks of itself.
LISTED_NEEDS: Final = 0.5
WEAK_NEEDS: Final = 0.65
HOMOGRAPH_NEEDS: Final = 0.75
UNLISTED_NEEDS: Final = 0.55
UNLISTED_ALONE_NEEDS: Final = 0.85
#: Of a maker that no book lists where nobody speaks of itself but a name is surely claimed.
UNLISTED_MAKER_NEEDS: Final = 0.7
#: Of a name that no book lists beside one surely claimed; of one that the end of the reply cuts short.
UNLISTED_BESIDE_NEEDS: Final = 0.75
CUT_NEEDS: Final = 0.8
#: Of a maker where nobody speaks of itself and no name is sure.
MAKER_ALONE_NEEDS: Final = 0.8
#: Of one denied in a longer reply where nobody speaks of itself.
DENIED_ALONE_NEEDS: Final = 0.92
#: How sure the name of a family has to be that stands for a maker which no book lists; under that it is a name, if it is likely enough.
MAKER_BY_NAME_NEEDS: Final = 0.7
#: A name that no book lists, so likely and its speaker's maker as likely, is its name where another is surely its maker.
NAME_BESIDE_MAKER: Final = 0.3
#: A claim so sure helps what stands beside it: its known maker, or a base, then needs no more than this.
MAKER_EXPECTED_NEEDS, BASE_EXPECTED_NEEDS = 0.1, 0.3
#: A sentence that doubts its claim, and one that declines. Few claims are doubted, so doubt is missed more easily than seen falsely.
HEDGED_NEEDS, REFUSES_NEEDS = 0.25, 0.5
#: Where so many models are named and none is denied, a claim needs a word for the speaker.
CROWD: Final = 3
#: Mentions in a list share their roles unless two above this differ.
SHARED_UNDER: Final = 0.65
#: A mention that so surely says nothing of the speaker is not looked at further: no other role can have what it needs.
NOTHING_ABOVE: Final = 0.9
#: A verdict whose strongest evidence is weaker abstains.
ABSTAINS_BELOW: Final = 0.6

#: Where a reply goes on to play the user: chat marks, and the labels of a transcript at the start of a line.
_NEXT_TURN: Final = re.compile(
    r"<\|(?:im_start|im_end|eot_id|end_of_turn|user|endoftext|start_header_id)\|>|<end_of_turn>|</s>|\[/?INST\]"
    r"|(?:^|\n|\\n)[^\S\n]*+(?:#+ *)?(?:\*\*)?(?:user|human|question(?: \d+)?|instruction|usuario|usuário|utilisateur|benutzer|utente|пользователь|用户|用戶|ユーザー|사용자|المستخدم|kullanıcı|pengguna|người dùng)(?:\*\*)? ?[:：]",
    re.IGNORECASE,
)
#: A word and a colon, with which a transcript can begin.
_LABEL: Final = re.compile(r"\W*\w{4,12}(?: \d+)?\W*[:：]")
#: What stands before a parent, who is no maker.
_PARENT: Final = re.compile(
    r"\b(?:born (?:of|to|unto)|(?:son|daughter|child) of|hij[oa] de|né[e]? de|fil(?:s|le) de|geboren von|(?:sohn|tochter) (?:von|des|der)|nat[oa] da|figli[oa] di|filh[oa] d[aeo]|сын|дочь) $"
)
#: A line of dashes, with what can stand between them in a table; possessive, for it would take quadratic time otherwise.
_RULE: Final = r"(?:[^\S\n]|[|:‐-―−-])"
_TABLE_RULE: Final = re.compile(rf"\n(?={_RULE}*+\n){_RULE}*?[‐-―−-]{{2}}{_RULE}*+\n")


#: What joins names that share a role: "Qwen or Kimi", "A, B and C". A comma alone joins only what a word joins further on.
_AND_OR: Final = re.compile(
    r"\s*,?\s*(?:/|&|\+|and|or|or else|nor|und|oder|et|ou|ou bien|y|e|o|u|i|oppure|и|или|или же|和|与|或|或者|还是|と|や|か|または|あるいは|과|와|이나|나|또는|혹은|و|او|أو|और|या|ve|veya|ya da|ile|dan|atau|và|hoặc|hay)\s*(?:(?:the|o|a|il|el|der|die|das)\s+)?"
)
#: It has fewer characters.
LONGEST_LINK: Final = 16
_COMMA: Final = re.compile(r"\s*[,、،]\s*(?:(?:the|o|a|il|el|der|die|das)\s+)?")


class Evidence(NamedTuple):
    """A span of the original text (end exclusive) that supports a part of the verdict."""

    role: str
    identity: str
    start: int
    end: int
    probability: float


class Verdict(NamedTuple):
    """What a reply says of its speaker. Identities are ids of the book, or ``other:<name in lower case>``.

    ``abstain`` is set where the strongest evidence is weak; ``version`` is the text that names a version.
    """

    stance: Stance
    names: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    hedged: bool = False
    abstain: bool = False
    version: str | None = None
    evidence: tuple[Evidence, ...] = ()


_NOTHING: Final = Verdict("none")
_REFUSES: Final = Verdict("refuses")
_NO_MAKERS: Final[frozenset[str]] = frozenset()


class _Reply:
    """One reply on its way through the pipeline."""

    __slots__ = ("mentions", "normal", "said", "unlisted")

    def __init__(self, text: str | None, *, join: bool = False) -> None:
        own = _own_turn(text or "")
        self.normal: Normal = normalize(own, join=join or not own.isascii())
        self.mentions: list[Mention] = finder().find(self.normal)
        if len(self.mentions) < 2 and (slips := misspelt(self.normal, self.mentions)):
            self.mentions = sorted(self.mentions + slips)
        self.unlisted: list[Mention] = []
        self.said: list[Said] = []

    def masked(self) -> str:
        """The text with a mark for each mention; with its capitals, unless it has another length than its normalised form."""
        text = self.normal.cased or self.normal.text
        masked, at = [], 0
        for m in self.mentions:
            masked += [text[at : m.start], m.mark]
            at = m.end
        masked.append(text[at:])
        whole = "".join(masked)
        if "\n" not in whole:
            return whole
        whole = whole.replace(",\n", ", ")
        return _TABLE_RULE.sub("\n", whole) if "--" in whole or not whole.isascii() else whole

    def add_unlisted(self) -> bool:
        """Look for names that the book does not list; true if there are some."""
        self.unlisted = unlisted(self.normal, self.mentions) if self.normal.text else []
        self.mentions = sorted(self.mentions + self.unlisted) if self.unlisted else self.mentions
        return bool(self.unlisted)


def _own_turn(text: str) -> str:
    """The reply up to where it begins to play the user, less the characters that stand for mentions."""
    could = (
        "\n" in text
        or "<" in text
        or "[" in text
        or "\\" in text
        or ((":" in text or "：" in text) and _LABEL.match(text))
    )
    stop = _NEXT_TURN.search(text) if could else None
    if not text.isascii():
        for mark in (
            *MARKS,
            BORDER,
        ):  # a reply that holds one would shift what is known of the others
            text = text.replace(mark, " ")
    return text[: stop.start()].rstrip() if stop else text


def verdicts(texts: Iterable[str | None]) -> Iterator[Verdict]:
    """Verdicts in the order of ``texts``, in batches; None and blank texts say nothing. Reasoning is to be cut off before."""
    for some in _batches(texts):
        different = list(dict.fromkeys(some))  # a model repeats itself
        with _uncollected():
            found = dict(zip(different, _together(different), strict=True))
        yield from map(found.__getitem__, some)


def _together(texts: list[str | None]) -> list[Verdict]:
    """The verdicts on some replies, which are looked at together."""
    replies = [_Reply(text) for text in texts]
    listed = numbered(map(_Reply.masked, replies))
    glance = Glance(listed)
    if apart := [number for number in glance.apart() if replies[number].normal.original.isascii()]:
        for number in apart:
            replies[number] = _Reply(texts[number], join=True)
        listed = listed.replaced({number: replies[number].masked() for number in apart})
        glance = Glance(listed)
    could = dict.fromkeys(
        chain(
            glance.names(),
            (number for number, reply in enumerate(replies) if not reply.normal.cased),
        )
    )
    tokens = Tokens(
        listed.replaced(
            {number: replies[number].masked() for number in could if replies[number].add_unlisted()}
        )
    )
    places = tokens.marks()
    windows = tokens.windows(places)
    chances = models().roles.probabilities(windows.found)
    ends = np.cumsum([0, *(len(reply.mentions) for reply in replies)])
    worth = np.unique(
        np.searchsorted(ends, np.flatnonzero(chances[:, IS_OTHER] <= NOTHING_ABOVE), side="right")
        - 1
    )
    judged = list(
        zip(
            chances.tolist(),
            windows.nobody.tolist(),
            windows.field.tolist(),
            tokens.sentence[places].tolist(),
            strict=True,
        )
    )
    long = np.diff(tokens.starts)[worth] > SHORT
    for number, first, last, is_long in zip(
        worth.tolist(), ends[worth].tolist(), ends[worth + 1].tolist(), long.tolist(), strict=True
    ):
        _judge_all(replies[number], judged[first:last], long=is_long)
    hedged, refuses = _hedged(replies, tokens), _refusing(replies, tokens)
    return [
        _combine(reply, hedged=number in hedged, refuses=number in refuses)
        for number, reply in enumerate(replies)
    ]


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage meanwhile: what is made for some replies holds no cycles, and a search walks over all else that is loaded."""
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


def _hedged(replies: list[_Reply], tokens: Tokens) -> set[int]:
    """The numbers of the replies with a claim in a sentence that is uncertain."""
    chosen = np.zeros(len(tokens.begins), dtype=bool)
    chosen[[s.sentence for reply in replies for s in reply.said if s.role in OWN]] = True
    return _replies_with(models().hedged, tokens, chosen, tokens.unmarked(), HEDGED_NEEDS)


def _refusing(replies: list[_Reply], tokens: Tokens) -> set[int]:
    """The numbers of the replies that say nothing of their identity and have a sentence that declines."""
    keep = tokens.unquoted()
    silent = np.array([not reply.said for reply in replies])
    chosen = (
        tokens.could_refuse(
            keep, short=np.array([not reply.normal.text.isascii() for reply in replies])
        )
        & silent[tokens.reply_of_sentences]
    )
    return _replies_with(models().refuses, tokens, chosen, keep, REFUSES_NEEDS)


def _replies_with(
    model: Linear, tokens: Tokens, chosen: Bools, keep: Bools, needs: float
) -> set[int]:
    """The numbers of the replies in which the model is likely enough right of a sentence among the ``chosen``, by the tokens to ``keep``."""
    right = model.probabilities(tokens.bags(chosen, keep))[:, 0] > needs
    return set(tokens.reply_of_sentences[np.flatnonzero(chosen)[right]].tolist())


def verdict(text: str | None) -> Verdict:
    """The verdict on one visible reply."""
    return next(verdicts([text]))


def _judge_all(
    reply: _Reply, judged: list[tuple[list[float], bool, bool, int]], *, long: bool
) -> None:
    """Fill ``reply.said`` from what the windows of its mentions showed: role probabilities, no speaker near, a field, the sentence."""
    mentions, text = reply.mentions, reply.normal.text
    weights = [shown[0] for shown in judged]
    sure: set[str | None] = set()
    crowd = False
    if len(weights) > 1:
        _share(reply, weights)
        sure = {
            mention.family or mention.unlisted
            for mention, mine in zip(mentions, weights, strict=True)
            if mine[IS_NAME] > SURE and mention.mark != MAKER
        }
        crowd = (
            len(weights) >= CROWD
            and len({mention.family for mention in mentions if mention.family}) >= CROWD
            and not any(mine[IS_DENIED] == max(mine) for mine in weights)
        )
    makers, expected = (
        (makers_named(mentions), makers_expected(mentions))
        if reply.unlisted
        else (_NO_MAKERS, _NO_MAKERS)
    )
    for mention, mine, (_, nobody, field, sentence) in zip(mentions, weights, judged, strict=True):
        if mine[IS_OTHER] > NOTHING_ABOVE or (crowd and nobody):
            continue
        if (
            mention.unlisted
            and mine[IS_MAKER] < SURE
            and mine[IS_NAME] > NAME_BESIDE_MAKER
            and any(other[IS_MAKER] > SURE for other in weights)
        ):
            mine[IS_NAME] += mine[IS_MAKER]
            mine[IS_MAKER] = 0.0
        another = bool(sure) and sure != {mention.family or mention.unlisted}
        found = (_expected(mention, mine, sure, another=another) if sure else None) or _judge(
            mention,
            mine,
            text,
            makers,
            expected,
            nobody=nobody and not field,
            long=long,
            another=another,
        )
        if found:
            reply.said.append(Said(mention, sentence, *found, mine[IS_NAME]))
    if reply.said:
        reply.said = revised(reply.said, mentions, reply.normal)


def _share(reply: _Reply, weights: list[list[float]]) -> None:
    """Give mentions of one kind that "and", "or" or a list join the mean of their probabilities, in place."""
    text = reply.normal.text
    linked = [0]
    for at, (one, other) in enumerate(pairwise(reply.mentions), 1):
        joined = one.mark == other.mark and other.start - one.end < LONGEST_LINK
        gap = text[one.end : other.start] if joined else ""
        if joined and _AND_OR.fullmatch(gap):
            linked.append(at)
            if (
                len(
                    {w.index(max(w)) for w in (weights[i] for i in linked) if max(w) > SHARED_UNDER}
                )
                > 1
            ):
                linked = [at]  # each is clear, and they differ
                continue
            mean = [
                sum(column) / len(linked)
                for column in zip(*(weights[i] for i in linked), strict=True)
            ]
            for i in linked:
                weights[i] = list(mean)
            linked = [at]  # a list ends with its "and"
        elif joined and _COMMA.fullmatch(gap):
            linked.append(at)
        else:
            linked = [at]


def _combine(reply: _Reply, *, hedged: bool, refuses: bool) -> Verdict:
    if not reply.said:
        return _REFUSES if refuses else _NOTHING
    parts: tuple[dict[str, None], ...] = ({}, {}, {}, {}, {})  # by role; dicts keep the order
    evidence, best, version = [], 0.0, None
    for mention, _, role, identity, probability, _ in reply.said:
        parts[role][identity] = None
        best = max(best, probability)
        if role == IS_NAME and version is None:
            version = mention.version
        evidence.append(
            Evidence(
                ROLES[role],
                identity,
                *reply.normal.span(mention.start, mention.end),
                round(probability, 4),
            )
        )
    denied, _, base, makers, names = parts
    not_own = tuple([i for i in denied if i not in names and i not in makers]) if denied else ()
    built_on = tuple([i for i in base if i not in names]) if base else ()
    stance: Stance = (
        "claims"
        if names or makers or built_on
        else "denies"
        if not_own
        else "refuses"
        if refuses
        else "none"
    )
    return Verdict(
        stance,
        tuple(names),
        tuple(makers),
        built_on,
        not_own,
        hedged,
        best < ABSTAINS_BELOW,
        version,
        tuple(evidence),
    )


def _judge(
    mention: Mention,
    weights: list[float],
    text: str,
    makers: frozenset[str],
    expected: frozenset[str],
    *,
    nobody: bool,
    long: bool,
    another: bool,
) -> tuple[int, str, float] | None:
    """Role, identity and probability of one mention, or None where it says nothing of the speaker."""
    family, maker = mention.family, mention.maker
    if mention.mark == MAKER:
        weights[IS_MAKER] += weights[IS_NAME] + weights[IS_BASE]
        weights[IS_NAME] = weights[IS_BASE] = 0.0
    elif (
        mention.mark == NAME and weights[IS_MAKER] > MAKER_BY_NAME_NEEDS
    ):  # "made by Rio": a maker that the book does not list
        cut = text[mention.end :] == "-" and begins_an_alias(
            text[mention.start :]
        )  # "made by Nex-"
        return (
            None
            if cut
            else (IS_MAKER, f"other:{text[mention.start : mention.end]}", weights[IS_MAKER])
        )
    elif mention.mark == NAME:
        weights[IS_NAME] += weights[IS_MAKER] if weights[IS_NAME] > NAME_LEAST else 0.0
        weights[IS_MAKER] = 0.0
    chance = max(weights)
    role = weights.index(chance)
    if mention.mark == EITHER and role in (
        IS_MAKER,
        IS_NAME,
    ):  # which of the two is another question
        chance = weights[IS_MAKER] + weights[IS_NAME]
    needs = _needs(
        mention,
        role,
        nobody=nobody and mention.end - mention.start + 3 < len(text),
        long=long,
        another=another,
    )
    if role == IS_OTHER or chance < needs:
        return None
    if mention.unlisted is not None:
        if role == IS_BASE or (role == IS_DENIED and chance < 0.7):
            return None
        if (
            role == IS_MAKER
            and mention.mark != MAKER
            and _PARENT.search(text, max(0, mention.start - 20), mention.start)
        ):
            return None
        cut = mention.end == len(text)
        close = typo(mention.unlisted, makers=makers, expected=expected) or (
            cut_short(mention.unlisted) if cut else None
        )
        if (
            cut and (not close or chance < CUT_NEEDS) and begins_an_alias(mention.unlisted)
        ):  # too little to tell
            return None
        if close:
            family, maker = close.family, close.maker
        else:
            return role, f"other:{mention.written or mention.unlisted}", chance
    identity = (maker or family) if role == IS_MAKER else (family or maker)
    assert identity
    if role == IS_NAME and not family:
        role = IS_MAKER
    return role, identity, chance


def _needs(mention: Mention, role: int, *, nobody: bool, long: bool, another: bool) -> float:
    """How sure the role of a mention has to be; ``nobody`` speaks of itself near it, the reply is ``long``, ``another`` name is surely claimed."""
    if mention.unlisted:
        if nobody and another and role == IS_MAKER:
            return UNLISTED_MAKER_NEEDS
        return (
            UNLISTED_ALONE_NEEDS
            if nobody
            else UNLISTED_BESIDE_NEEDS
            if another and role != IS_MAKER
            else UNLISTED_NEEDS
        )
    if nobody:
        if mention.cased and not (long and role == IS_DENIED):
            return UNLISTED_ALONE_NEEDS if mention.weak else HOMOGRAPH_NEEDS
        if role == IS_MAKER and not another:
            return MAKER_ALONE_NEEDS
        if long:
            return {IS_DENIED: DENIED_ALONE_NEEDS, IS_BASE: HOMOGRAPH_NEEDS}.get(role, WEAK_NEEDS)
    return WEAK_NEEDS if mention.weak else LISTED_NEEDS


def _expected(
    mention: Mention, weights: list[float], sure: set[str | None], *, another: bool
) -> tuple[int, str, float] | None:
    """What a mention says where a name ``sure`` to be claimed, ``another`` than its own perhaps, makes up for weak evidence: its known maker, or a base."""
    if mention.maker:
        families = load_book().families
        maker = weights[IS_MAKER] + (
            weights[IS_NAME] + weights[IS_BASE] if mention.mark == MAKER else 0
        )
        if MAKER_EXPECTED_NEEDS < maker > weights[IS_DENIED] and any(
            name in families and mention.maker in families[name].makers for name in sure if name
        ):
            return IS_MAKER, mention.maker, maker
    if (
        mention.family
        and another
        and weights[IS_NAME] < SURE
        and weights[IS_BASE] > BASE_EXPECTED_NEEDS
        and weights[IS_BASE] + weights[IS_NAME]
        > weights[IS_OTHER] + weights[IS_DENIED] + weights[IS_MAKER]
    ):
        return IS_BASE, mention.family, weights[IS_BASE] + weights[IS_NAME]
    return None
