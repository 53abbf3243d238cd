"""From the roles of mentions to the verdict on one reply.

Name, maker and base are three facts and stay three.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import Final, Literal, NamedTuple

import numpy as np

from harness.campaign import load_book
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
from harness.scoring.mentions import Entry, Mention, finder
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
#: How sure the role of a mention has to be: of the book; of a weak alias; of a homograph where
#: nobody speaks of itself; of a name that no book lists; of one where nobody speaks of itself.
LISTED_NEEDS: Final = 0.5
WEAK_NEEDS: Final = 0.65
HOMOGRAPH_NEEDS: Final = 0.75
UNLISTED_NEEDS: Final = 0.7
UNLISTED_ALONE_NEEDS: Final = 0.92
#: Of a maker that no book lists where nobody speaks of itself but a name is surely claimed.
UNLISTED_MAKER_NEEDS: Final = 0.8
#: Of a name that no book lists beside one surely claimed; of one that the end of the reply cuts
#: short.
UNLISTED_BESIDE_NEEDS: Final = 0.85
CUT_NEEDS: Final = 0.8
#: Of a name that no book lists and that is denied.
UNLISTED_DENIED_NEEDS: Final = 0.7
#: Of a maker where nobody speaks of itself and no name is sure.
MAKER_ALONE_NEEDS: Final = 0.8
#: Of one denied in a longer reply where nobody speaks of itself.
DENIED_ALONE_NEEDS: Final = 0.92
#: How sure the name of a family has to be that stands for a maker which no book lists; under that
#: it is a name, if it is likely enough.
MAKER_BY_NAME_NEEDS: Final = 0.85
#: A name that no book lists, so likely and its speaker's maker as likely, is its name where another
#: is surely its maker.
NAME_BESIDE_MAKER: Final = 0.3
#: A claim so sure helps what stands beside it: its known maker, or a base, then needs no more than
#: this.
MAKER_EXPECTED_NEEDS, BASE_EXPECTED_NEEDS = 0.1, 0.3
#: A sentence that doubts its claim, and one that declines. Few claims are doubted, so doubt is
#: missed more easily than seen falsely.
HEDGED_NEEDS, REFUSES_NEEDS = 0.25, 0.6
#: Where so many models are named and none is denied, a claim needs a word for the speaker.
CROWD: Final = 3
#: Mentions in a list share their roles unless two above this differ.
SHARED_UNDER: Final = 0.65
#: A mention that so surely says nothing of the speaker is not looked at further: no other role can
#: have what it needs.
NOTHING_ABOVE: Final = 0.9
#: A verdict whose strongest evidence is weaker abstains.
ABSTAINS_BELOW: Final = 0.6

#: Where a reply goes on to play the user: chat marks, and the labels of a transcript at the start
#: of a line.
_NEXT_TURN: Final = re.compile(
    r"<\|(?:im_start|im_end|eot_id|end_of_turn|user|endoftext|start_header_id)\|>|"
    r"<end_of_turn>|</s>|\[/?INST\]|"
    r"(?:^|\n|\\n)[^\S\n]*+(?:#+ *)?(?:\*\*)?"
    r"(?:user|human|question(?: \d+)?|instruction|usuario|usuário|utilisateur|benutzer|utente|"
    r"пользователь|用户|用戶|ユーザー|사용자|المستخدم|kullanıcı|pengguna|người dùng)"
    r"(?:\*\*)? ?[:：]",
    re.IGNORECASE,
)
#: A word and a colon, with which a transcript can begin.
_LABEL: Final = re.compile(r"\W*\w{4,12}(?: \d+)?\W*[:：]")
#: What stands before a parent, who is no maker.
_PARENT: Final = re.compile(
    r"\b(?:born (?:of|to|unto)|(?:son|daughter|child) of|hij[oa] de|né[e]? de|fil(?:s|le) de|"
    r"geboren von|(?:sohn|tochter) (?:von|des|der)|nat[oa] da|figli[oa] di|filh[oa] d[aeo]|"
    r"сын|дочь) $"
)
#: A line of dashes, with what can stand between them in a table; possessive, for it would take
#: quadratic time otherwise.
_RULE: Final = r"(?:[^\S\n]|[|:‐-―−-])"
_TABLE_RULE: Final = re.compile(rf"\n(?={_RULE}*+\n){_RULE}*?[‐-―−-]{{2}}{_RULE}*+\n")


#: An article before a name.
_ARTICLE: Final = r"(?:(?:the|o|a|il|el|der|die|das)\s+)?"
#: What joins names that share a role: "Qwen or Kimi", "A, B and C". A comma alone joins only what a
#: word joins further on.
_AND_OR: Final = re.compile(
    r"\s*,?\s*(?:/|&|\+|and|or|or else|nor|und|oder|et|ou|ou bien|y|e|o|u|i|oppure|и|или|или же|"
    r"和|与|或|或者|还是|と|や|か|または|あるいは|과|와|이나|나|또는|혹은|و|او|أو|और|या|"
    rf"ve|veya|ya da|ile|dan|atau|và|hoặc|hay)\s*{_ARTICLE}"
)
#: It has fewer characters.
LONGEST_LINK: Final = 16
_COMMA: Final = re.compile(rf"\s*[,、،]\s*{_ARTICLE}")


class Evidence(NamedTuple):
    """A span of the original text (end exclusive) that supports a part of the verdict."""

    role: str
    identity: str
    start: int
    end: int
    probability: float


class Verdict(NamedTuple):
    """What a reply says of its speaker.

    Identities are ids of the book, or ``other:<name in lower case>``. ``abstain`` is set where the
    strongest evidence is weak; ``version`` is the text that names a version.
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


class _Shown(NamedTuple):
    """What the window of a mention showed."""

    #: How likely each role is.
    weights: list[float]
    #: No speaker is near.
    nobody: bool
    #: The mention stands in a field.
    field: bool
    #: The number of its sentence in the batch.
    sentence: int


class _Beside(NamedTuple):
    """What a reply tells that the role of each of its mentions depends on."""

    text: str
    long: bool
    #: The names that are surely claimed.
    sure: set[str | None]
    #: The makers that it names, and those of the families that it names.
    makers: frozenset[str]
    expected: frozenset[str]


#: Role, identity and probability of a mention.
_Judged = tuple[int, str, float]


class _Reply:
    """One reply on its way through the pipeline."""

    __slots__ = ("mentions", "normal", "said", "unlisted")

    def __init__(self, text: str | None, *, join: bool = False) -> None:
        own = own_turn(text or "")
        self.normal: Normal = normalize(own, join=join or not own.isascii())
        self.mentions: list[Mention] = finder().find(self.normal)
        if len(self.mentions) < 2 and (slips := misspelt(self.normal, self.mentions)):
            self.mentions = sorted(self.mentions + slips)
        self.unlisted: list[Mention] = []
        self.said: list[Said] = []

    def masked(self) -> str:
        """The text with a mark for each mention."""
        return marked(self.normal, self.mentions)

    def add_unlisted(self) -> bool:
        """Look for names that the book does not list; true if there are some."""
        self.unlisted = unlisted(self.normal, self.mentions) if self.normal.text else []
        self.mentions = sorted(self.mentions + self.unlisted) if self.unlisted else self.mentions
        return bool(self.unlisted)


def marked(normal: Normal, mentions: Iterable[Mention]) -> str:
    """A text with a mark for each of its mentions.

    It has its capitals, unless it has another length than its normalised form.
    """
    text = normal.cased or normal.text
    masked, at = [], 0
    for m in mentions:
        masked += [text[at : m.start], m.mark]
        at = m.end
    masked.append(text[at:])
    whole = "".join(masked)
    if "\n" not in whole:
        return whole
    whole = whole.replace(",\n", ", ")
    return _TABLE_RULE.sub("\n", whole) if "--" in whole or not whole.isascii() else whole


def own_turn(text: str) -> str:
    """The reply up to where it begins to play the user.

    The characters that stand for mentions are left out.
    """
    could = "\n" in text or "<" in text or "[" in text or "\\" in text
    if not could and (":" in text or "：" in text):
        could = _LABEL.match(text) is not None
    stop = _NEXT_TURN.search(text) if could else None
    if not text.isascii():
        # a reply that holds one would shift what is known of the others
        for mark in (*MARKS, BORDER):
            text = text.replace(mark, " ")
    return text[: stop.start()].rstrip() if stop else text


def verdicts(texts: Iterable[str | None]) -> Iterator[Verdict]:
    """Verdicts in the order of ``texts``, in batches.

    None and blank texts say nothing. Reasoning is to be cut off before.
    """
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
    uncased = (number for number, reply in enumerate(replies) if not reply.normal.cased)
    could = dict.fromkeys(chain(glance.names(), uncased))
    named = [number for number in could if replies[number].add_unlisted()]
    tokens = Tokens(listed.replaced({number: replies[number].masked() for number in named}))
    _judge_replies(replies, tokens)
    hedged, refuses = _hedged(replies, tokens), _refusing(replies, tokens)
    return [
        _combine(reply, hedged=number in hedged, refuses=number in refuses)
        for number, reply in enumerate(replies)
    ]


def _judge_replies(replies: list[_Reply], tokens: Tokens) -> None:
    """Fill ``said`` of the replies in which a mention may say something of the speaker."""
    places = tokens.marks()
    windows = tokens.windows(places)
    chances = models().roles.probabilities(windows.found)
    shown = zip(
        chances.tolist(),
        windows.nobody.tolist(),
        windows.field.tolist(),
        tokens.sentence[places].tolist(),
        strict=True,
    )
    judged = list(map(_Shown._make, shown))
    ends = np.cumsum([0, *(len(reply.mentions) for reply in replies)])
    telling = np.flatnonzero(chances[:, IS_OTHER] <= NOTHING_ABOVE)
    worth = np.unique(np.searchsorted(ends, telling, side="right") - 1)
    firsts, lasts = ends[worth].tolist(), ends[worth + 1].tolist()
    long = (np.diff(tokens.starts)[worth] > SHORT).tolist()
    for number, first, last, is_long in zip(worth.tolist(), firsts, lasts, long, strict=True):
        _judge_all(replies[number], judged[first:last], long=is_long)


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


def _hedged(replies: list[_Reply], tokens: Tokens) -> set[int]:
    """The numbers of the replies with a claim in a sentence that is uncertain."""
    chosen = np.zeros(len(tokens.begins), dtype=bool)
    chosen[[s.sentence for reply in replies for s in reply.said if s.role in OWN]] = True
    return _replies_with(models().hedged, tokens, chosen, tokens.unmarked(), HEDGED_NEEDS)


def _refusing(replies: list[_Reply], tokens: Tokens) -> set[int]:
    """The numbers of the replies with a sentence that declines, and nothing of their identity."""
    keep = tokens.unquoted()
    silent = np.array([not reply.said for reply in replies])
    short = np.array([not reply.normal.text.isascii() for reply in replies])
    chosen = tokens.could_refuse(keep, short) & silent[tokens.reply_of_sentences]
    return _replies_with(models().refuses, tokens, chosen, keep, REFUSES_NEEDS)


def _replies_with(
    model: Linear, tokens: Tokens, chosen: Bools, keep: Bools, needs: float
) -> set[int]:
    """The numbers of the replies of which a sentence is likely enough what the model looks for.

    Asked of the ``chosen`` sentences, by the tokens to ``keep``.
    """
    right = model.probabilities(tokens.bags(chosen, keep))[:, 0] > needs
    return set(tokens.reply_of_sentences[np.flatnonzero(chosen)[right]].tolist())


def verdict(text: str | None) -> Verdict:
    """The verdict on one visible reply."""
    return next(verdicts([text]))


def names_in(texts: Iterable[str | None]) -> list[tuple[str, ...]]:
    """The names that each text claims."""
    return [found.names for found in verdicts(texts)]


def _judge_all(reply: _Reply, shown: list[_Shown], *, long: bool) -> None:
    """Fill ``reply.said`` from what the windows of its mentions showed."""
    mentions = reply.mentions
    weights = [each.weights for each in shown]
    if len(weights) > 1:
        _share(reply, weights)
    beside, crowd = _beside(reply, weights, long=long), _is_crowd(mentions, weights)
    for mention, mine, (_, nobody, field, sentence) in zip(mentions, weights, shown, strict=True):
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
        found = _expected(mention, mine, beside)
        found = found or _judge(mention, mine, beside, nobody=nobody and not field)
        if found:
            reply.said.append(Said(mention, sentence, *found, mine[IS_NAME]))
    if reply.said:
        reply.said = revised(reply.said, mentions, reply.normal)


def _beside(reply: _Reply, weights: list[list[float]], *, long: bool) -> _Beside:
    mentions, sure = reply.mentions, set[str | None]()
    if len(weights) > 1:
        sure = {
            mention.family or mention.unlisted
            for mention, mine in zip(mentions, weights, strict=True)
            if mine[IS_NAME] > SURE and mention.mark != MAKER
        }
    makers = expected = _NO_MAKERS
    if reply.unlisted:
        makers, expected = makers_named(mentions), makers_expected(mentions)
    return _Beside(reply.normal.text, long, sure, makers, expected)


def _is_crowd(mentions: list[Mention], weights: list[list[float]]) -> bool:
    """True if many models are named and none is denied."""
    if len(weights) < CROWD:
        return False
    families = {mention.family for mention in mentions if mention.family}
    return len(families) >= CROWD and not any(mine[IS_DENIED] == max(mine) for mine in weights)


def _share(reply: _Reply, weights: list[list[float]]) -> None:
    """Give mentions of one kind that are joined the mean of their probabilities, in place.

    "And", "or" or a list joins them.
    """
    text = reply.normal.text
    linked = [0]
    for at, (one, other) in enumerate(pairwise(reply.mentions), 1):
        joined = one.mark == other.mark and other.start - one.end < LONGEST_LINK
        gap = text[one.end : other.start] if joined else ""
        if joined and _AND_OR.fullmatch(gap):
            linked.append(at)
            shared = [weights[i] for i in linked]
            if len({w.index(max(w)) for w in shared if max(w) > SHARED_UNDER}) > 1:
                linked = [at]  # each is clear, and they differ
                continue
            mean = [sum(column) / len(linked) for column in zip(*shared, strict=True)]
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
        start, end = reply.normal.span(mention.start, mention.end)
        evidence.append(Evidence(ROLES[role], identity, start, end, round(probability, 4)))
    denied, _, base, makers, names = parts
    not_own = tuple([i for i in denied if i not in names and i not in makers]) if denied else ()
    built_on = tuple([i for i in base if i not in names]) if base else ()
    stance: Stance = "refuses" if refuses else "none"
    if names or makers or built_on:
        stance = "claims"
    elif not_own:
        stance = "denies"
    identities = (tuple(names), tuple(makers), built_on, not_own)
    weak = best < ABSTAINS_BELOW
    return Verdict(stance, *identities, hedged, weak, version, tuple(evidence))


def _judge(
    mention: Mention, weights: list[float], beside: _Beside, *, nobody: bool
) -> _Judged | None:
    """What one mention says, or None where it says nothing of the speaker."""
    if mention.mark == MAKER:
        weights[IS_MAKER] += weights[IS_NAME] + weights[IS_BASE]
        weights[IS_NAME] = weights[IS_BASE] = 0.0
    elif mention.mark == NAME and weights[IS_MAKER] > MAKER_BY_NAME_NEEDS:
        return _maker_by_name(mention, weights[IS_MAKER], beside.text)
    elif mention.mark == NAME:
        weights[IS_NAME] += weights[IS_MAKER] if weights[IS_NAME] > NAME_LEAST else 0.0
        weights[IS_MAKER] = 0.0
    chance = max(weights)
    role = weights.index(chance)
    # which of the two is another question
    if mention.mark == EITHER and role in (IS_MAKER, IS_NAME):
        chance = weights[IS_MAKER] + weights[IS_NAME]
    alone = mention.end - mention.start + 3 >= len(beside.text)
    if role == IS_OTHER or chance < _needs(mention, role, beside, nobody=nobody and not alone):
        return None
    if mention.unlisted is not None:
        return _judge_unlisted(mention, mention.unlisted, role, chance, beside)
    return _identified(mention, role, chance)


def _maker_by_name(mention: Mention, chance: float, text: str) -> _Judged | None:
    """A maker that the book does not list, called like a family: "made by Rio"."""
    # "made by Nex-"
    if text[mention.end :] == "-" and begins_an_alias(text[mention.start :]):
        return None
    return IS_MAKER, f"other:{text[mention.start : mention.end]}", chance


def _judge_unlisted(
    mention: Mention, name: str, role: int, chance: float, beside: _Beside
) -> _Judged | None:
    """What a name says that the book does not list; it may be one of the book misspelt."""
    if role == IS_BASE or (role == IS_DENIED and chance < UNLISTED_DENIED_NEEDS):
        return None
    start, text = mention.start, beside.text
    could_be_parent = role == IS_MAKER and mention.mark != MAKER
    if could_be_parent and _PARENT.search(text, max(0, start - 20), start):
        return None
    cut = mention.end == len(text)
    close = typo(name, makers=beside.makers, expected=beside.expected)
    if cut and not close:
        close = cut_short(name)
    if cut and (not close or chance < CUT_NEEDS) and begins_an_alias(name):  # too little to tell
        return None
    if close:
        return _identified(close, role, chance)
    return role, f"other:{mention.written or name}", chance


def _identified(named: Mention | Entry, role: int, chance: float) -> _Judged:
    """The identity of the book that is named; one without a family is a maker, not a name."""
    family, maker = named.family, named.maker
    identity = (maker or family) if role == IS_MAKER else (family or maker)
    assert identity
    if role == IS_NAME and not family:
        role = IS_MAKER
    return role, identity, chance


def _needs(mention: Mention, role: int, beside: _Beside, *, nobody: bool) -> float:
    """How sure the role of a mention has to be; ``nobody`` speaks of itself near it."""
    another = _is_another(mention, beside.sure)
    if mention.unlisted:
        if nobody:
            maker = another and role == IS_MAKER
            return UNLISTED_MAKER_NEEDS if maker else UNLISTED_ALONE_NEEDS
        return UNLISTED_BESIDE_NEEDS if another and role != IS_MAKER else UNLISTED_NEEDS
    if nobody:
        if mention.cased and not (beside.long and role == IS_DENIED):
            return UNLISTED_ALONE_NEEDS if mention.weak else HOMOGRAPH_NEEDS
        if role == IS_MAKER and not another:
            return MAKER_ALONE_NEEDS
        if beside.long:
            return {IS_DENIED: DENIED_ALONE_NEEDS, IS_BASE: HOMOGRAPH_NEEDS}.get(role, WEAK_NEEDS)
    return WEAK_NEEDS if mention.weak else LISTED_NEEDS


def _is_another(mention: Mention, sure: set[str | None]) -> bool:
    """True if a name is surely claimed that is not the mentioned one."""
    return bool(sure) and sure != {mention.family or mention.unlisted}


def _expected(mention: Mention, weights: list[float], beside: _Beside) -> _Judged | None:
    """What a mention says where a name that is surely claimed makes up for weak evidence.

    It is that name's known maker, or the base of another than itself.
    """
    if not beside.sure:
        return None
    name, base = weights[IS_NAME], weights[IS_BASE]
    if mention.maker:
        maker = weights[IS_MAKER] + (name + base if mention.mark == MAKER else 0)
        likely = MAKER_EXPECTED_NEEDS < maker > weights[IS_DENIED]
        if likely and _is_maker_of(mention.maker, beside.sure):
            return IS_MAKER, mention.maker, maker
    if not mention.family or not _is_another(mention, beside.sure):
        return None
    against = weights[IS_OTHER] + weights[IS_DENIED] + weights[IS_MAKER]
    if name < SURE and base > BASE_EXPECTED_NEEDS and base + name > against:
        return IS_BASE, mention.family, base + name
    return None


def _is_maker_of(maker: str, names: set[str | None]) -> bool:
    """True if the book says that one of the names is made by the maker."""
    families = load_book().families
    return any(name in families and maker in families[name].makers for name in names if name)
