"""From the roles of mentions to the verdict on one reply. Name, maker and base are three facts and stay three."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import Final, Literal, NamedTuple

from harness.identities import load_book
from harness.scoring.classifier import SENTENCE_ENDS, Linear, models, split_sentences
from harness.scoring.features import MAKER, MARKS, NAME, bag, could_refuse, features, tokenize
from harness.scoring.mentions import Mention, cut_short, finder, misspelt, typo, unlisted
from harness.scoring.normalize import Normal, normalize
from harness.scoring.training import ROLES

Stance = Literal["claims", "denies", "refuses", "none"]
BATCH: Final = 2000
#: How sure the role of a mention has to be: of the book; of a weak alias; of a homograph where nobody speaks of itself; of a
#: name that no book lists; of one where nobody speaks of itself.
LISTED_NEEDS: Final = 0.5
WEAK_NEEDS: Final = 0.65
HOMOGRAPH_NEEDS: Final = 0.75
UNLISTED_NEEDS: Final = 0.55
UNLISTED_ALONE_NEEDS: Final = 0.85
#: A verdict whose strongest evidence is weaker abstains.
ABSTAINS_BELOW: Final = 0.6
#: A sentence of so many tokens can refuse without a word for the speaker.
SHORT: Final = 12
#: A maker this near (characters) goes with the name that is taken back.
BESIDE: Final = 60
#: A maker this near (characters) to a base that it is known to make belongs to the base.
LINKED: Final = 24
_DENIED, _OTHER, _BASE, _MAKER, _NAME = range(5)
_OWN: Final = (_BASE, _MAKER, _NAME)
assert ROLES == ("denied", "other", "self_base", "self_maker", "self_name")

#: Where a reply goes on to play the user: chat marks, and the labels of a transcript at the start of a line.
_NEXT_TURN: Final = re.compile(
    r"<\|(?:im_start|im_end|eot_id|end_of_turn|user|endoftext|start_header_id)\|>|<end_of_turn>|</s>|\[/?INST\]"
    r"|(?:^|\n|\\n)\s*(?:#+ *)?(?:\*\*)?(?:user|human|question(?: \d+)?|instruction|usuario|usuário|utilisateur|benutzer|utente|пользователь|用户|用戶|ユーザー|사용자|المستخدم|kullanıcı|pengguna|người dùng)(?:\*\*)? ?[:：]",
    re.IGNORECASE,
)
_COULD_TURN: Final = re.compile(r"[<\[\n\\]|^\W*\w{4,12}(?: \d+)?\W*[:：]")
_TABLE_RULE: Final = re.compile(r"\n[ |:-]*--[ |:-]*\n")
#: Words of one who takes back what was just said.
_CORRECTION: Final = re.compile(
    r"\b(?:correction|just kidding|(?:scratch|strike|delete|cancel|disregard|forget) (?:that|this|it|the)|edit(?=:)|erratum|misspoke|retract|withdraw|my mistake|i mean|make that|that's (?:wrong|not right)|that was (?:wrong|a mistake|an error)|(?:take|walk) (?:that|it) back|apologies|sorry|no, wait|wait|or rather|oops|hold on|in truth|actually"
    r"|korrektur|moment|entschuldigung|verzeihung|stimmt nicht|war falsch|quatsch|unsinn|vielmehr|halt|streichen sie|nehme das zurück|pardon|oubliez|je retire|excusez|attendez|me suis trompé|rectification|perdón|disculpa|corrijo|rectifico|me equivoqué|mejor dicho|digo|olvid[ae]|retiro|fue un error"
    r"|desculpe?|correção|me enganei|falei errado|quer dizer|ou melhor|errei|esqueça|retiro|lasci perdere|ritiro|scusa|scusate|anzi|correggo|mi correggo|ho sbagliato|mi sono sbagliato|извините|простите|поправка|ошибся|точнее|то есть|вернее|забудьте|беру слова назад"
    r"|pardon|düzeltiyorum|özür dilerim|yanlış söyledim|unutun|geri alıyorum|maaf|lupakan|tarik ucapan|koreksi|maksud saya|ralat|keliru|xin lỗi|nhầm|đính chính|bỏ câu|rút lại)\b"
    r"|不对|更正|说错|纠正|抱歉|应该是|作废|收回|間違え|訂正|失礼|じゃなくて|ではなく|違いました|いや|取り消|撤回|아니|취소|거두|정정|잘못 말|실수|죄송|عفوا|عذرا|تصحيح|اخطات|اقصد|انس ذلك|اسحب|माफ़|क्षमा|गलत कह|सुधार|भूल जा|वापस लेता|नहीं नहीं"
)


#: Words of one who takes back what was said and puts nothing in its place.
_RETRACTION: Final = re.compile(
    r"(?:take|walk) (?:that|it|this) back|i (?:retract|withdraw)|shouldn't have said|nehme (?:das|es) zurück|je retire|retiro lo|retiro o que|ritiro|беру (?:свои )?слова назад|geri alıyorum|tarik (?:kembali )?ucapan|rút lại|收回|撤回|取り消し|거두|اسحب كلامي|वापस लेता"
)
#: Words of one who owns up to a joke: what was claimed before is denied.
_JOKE: Final = re.compile(
    r"just kidding|only joking|just a joke|nur spaß|war ein scherz|je plaisante|c'était une blague|es broma|era broma|brincadeira|scherzo|stavo scherzando|шучу|шутка|开玩笑|冗談|농담|şaka|bercanda|nói đùa|đùa thôi|امزح|मज़ाक|मजाक"
)
#: Markup that strikes words out.
_STRUCK: Final = re.compile(r"~~[^~]+~~|<(s|del|strike)>.*?</\1>")


#: What joins names that share a role: "Qwen or Kimi", "A, B and C". A comma alone joins only what a word joins further on.
_AND_OR: Final = re.compile(
    r"\s*,?\s*(?:/|&|\+|and|or|or else|nor|und|oder|et|ou|ou bien|y|e|o|u|i|oppure|и|или|или же|和|与|或|或者|还是|と|や|か|または|あるいは|과|와|이나|나|또는|혹은|و|او|أو|और|या|ve|veya|ya da|ile|dan|atau|và|hoặc|hay)\s*(?:(?:the|o|a|il|el|der|die|das)\s+)?"
)
_COMMA: Final = re.compile(r"\s*[,、،]\s*(?:(?:the|o|a|il|el|der|die|das)\s+)?")


@dataclass(frozen=True)
class Evidence:
    """A span of the original text (end exclusive) that supports a part of the verdict."""

    role: str
    identity: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class Verdict:
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


class _Said(NamedTuple):
    """A mention that says something of the speaker."""

    mention: Mention
    place: int  # among the tokens
    role: int
    identity: str
    probability: float


class _Reply:
    """One reply on its way through the pipeline."""

    __slots__ = ("mentions", "normal", "places", "said", "tokens")

    def __init__(self, text: str | None) -> None:
        self.normal: Normal = normalize(_own_turn(text or ""))
        known = finder().find(self.normal)
        if len(known) < 2:
            known = sorted(known + misspelt(self.normal, known))
        self.mentions: list[Mention] = sorted(known + unlisted(self.normal, known)) if self.normal.text else []
        masked, at = [], 0
        for m in self.mentions:
            masked += [self.normal.text[at : m.start], m.mark]
            at = m.end
        masked.append(self.normal.text[at:])
        whole = "".join(masked).replace(",\n", ", ")
        self.tokens = tokenize(_TABLE_RULE.sub("\n", whole) if "--" in whole else whole, plain=self.normal.text.isascii())
        self.places = [place for place, token in enumerate(self.tokens) if token in MARKS] if self.mentions else []
        self.said: list[_Said] = []

    def windows(self) -> list[list[str]]:
        """Features of each mention in order."""
        return [features(self.tokens, place) for place in self.places]

    def sentence(self, place: int) -> list[str]:
        """Tokens of the sentence around a place, less the marks."""
        first, last = place, place + 1
        while first and self.tokens[first - 1] not in SENTENCE_ENDS:
            first -= 1
        while last < len(self.tokens) and self.tokens[last] not in SENTENCE_ENDS:
            last += 1
        return [t for t in self.tokens[first:last] if t not in MARKS]

    def asides(self) -> list[list[str]]:
        """Sentences in which the speaker could decline: those with a word for it or for what is declined, and short ones in scripts without spaces."""
        found = []
        for part in split_sentences(self.tokens)[:60]:
            own = _unquoted(part) if '"' in part else part
            if own and (any(map(could_refuse, own)) or (len(own) <= SHORT and not self.normal.text.isascii())):
                found.append(own)
        return found


def _unquoted(tokens: list[str]) -> list[str]:
    """Tokens outside quotation marks."""
    found, inside = [], False
    for token in tokens:
        if token == '"':  # noqa: S105
            inside = not inside
        elif not inside:
            found.append(token)
    return found


def _own_turn(text: str) -> str:
    """The reply up to where it begins to play the user."""
    stop = _NEXT_TURN.search(text) if _COULD_TURN.search(text) else None
    return text[: stop.start()] if stop else text


def verdicts(texts: Iterable[str | None]) -> Iterator[Verdict]:
    """Verdicts in the order of ``texts``, in batches; None and blank texts say nothing. Reasoning is to be cut off before."""
    source = iter(texts)
    while batch := list(islice(source, BATCH)):
        replies = [_Reply(text) for text in batch]
        windows = [reply.windows() for reply in replies]
        chances = iter(models().roles.probabilities(list(chain.from_iterable(windows))).tolist())
        for reply, mine in zip(replies, windows, strict=True):
            _judge_all(reply, mine, chances)
        hedges = _any(models().hedged, [[bag(reply.sentence(s.place)) for s in reply.said if s.role in _OWN] for reply in replies])
        refusals = _any(models().refuses, [[bag(part) for part in reply.asides()] if not reply.said else [] for reply in replies])
        for reply, hedged, refuses in zip(replies, hedges, refusals, strict=True):
            yield _combine(reply, hedged=hedged, refuses=refuses)


def _any(model: Linear, found: list[list[list[str]]]) -> list[bool]:
    """For each reply whether the model says yes to any of its bags."""
    chances = iter(model.probabilities(list(chain.from_iterable(found)))[:, 0].tolist())
    return [max([next(chances) for _ in bags], default=0.0) > 0.5 for bags in found]


def verdict(text: str | None) -> Verdict:
    """The verdict on one visible reply."""
    return next(verdicts([text]))


def _judge_all(reply: _Reply, windows: list[list[str]], chances: Iterator[list[float]]) -> None:
    """Fill ``reply.said`` from the role probabilities of its mentions."""
    weights = list(islice(chances, len(windows)))
    if len(weights) > 1:
        _share(reply, weights)
    for mention, place, window, mine in zip(reply.mentions, reply.places, windows, weights, strict=True):
        judged = _judge(mention, mine, reply.normal.text, window, long=len(reply.tokens) > SHORT)
        if judged:
            reply.said.append(_Said(mention, place, *judged))
    if reply.said and (_RETRACTION.search(reply.normal.text) or _JOKE.search(reply.normal.text)):
        reply.said = _retracted(reply)
    if len(reply.said) > 1:
        reply.said = _corrected(reply)
        reply.said = _without_makers_of_bases(reply.said)


def _share(reply: _Reply, weights: list[list[float]]) -> None:
    """Give mentions of one kind that "and", "or" or a list join the mean of their probabilities, in place."""
    text = reply.normal.text
    linked = [0]
    for at, (one, other) in enumerate(pairwise(reply.mentions), 1):
        gap = text[one.end : other.start]
        joined = one.mark == other.mark and len(gap) < 16
        if joined and _AND_OR.fullmatch(gap):
            linked.append(at)
            mean = [sum(column) / len(linked) for column in zip(*(weights[i] for i in linked), strict=True)]
            for i in linked:
                weights[i] = list(mean)
            linked = [at]  # a list ends with its "and"
        elif joined and _COMMA.fullmatch(gap):
            linked.append(at)
        else:
            linked = [at]


def _combine(reply: _Reply, *, hedged: bool, refuses: bool) -> Verdict:
    parts: dict[int, dict[str, None]] = {role: {} for role in range(5)}
    evidence = []
    for said in reply.said:
        parts[said.role].setdefault(said.identity)
        evidence.append(Evidence(ROLES[said.role], said.identity, *reply.normal.span(said.mention.start, said.mention.end), round(said.probability, 4)))
    names, makers = tuple(parts[_NAME]), tuple(parts[_MAKER])
    denied = tuple(i for i in parts[_DENIED] if i not in parts[_NAME] and i not in parts[_MAKER])
    base = tuple(i for i in parts[_BASE] if i not in parts[_NAME])
    stance: Stance = "claims" if names or makers or base else "denies" if denied else "refuses" if refuses else "none"
    version = next((s.mention.version for s in reply.said if s.role == _NAME and s.mention.version), None)
    best = max((s.probability for s in reply.said), default=1.0)
    return Verdict(stance, names, makers, base, denied, hedged, best < ABSTAINS_BELOW, version, tuple(evidence))


def _judge(mention: Mention, weights: list[float], text: str, window: list[str], *, long: bool) -> tuple[int, str, float] | None:
    """Role, identity and probability of one mention, or None where it says nothing of the speaker."""
    family, maker = mention.family, mention.maker
    if mention.mark == MAKER:
        weights[_MAKER] += weights[_NAME] + weights[_BASE]
        weights[_NAME] = weights[_BASE] = 0.0
    elif mention.mark == NAME and max(weights) == weights[_MAKER]:  # "made by Rio": a maker that the book does not list
        return (_MAKER, f"other:{text[mention.start : mention.end]}", weights[_MAKER]) if weights[_MAKER] >= WEAK_NEEDS else None
    chance = max(weights)
    role = weights.index(chance)
    # no word for the speaker near it, and no field of a table or form
    nobody = "nobody" in window and mention.end - mention.start + 3 < len(text) and "A|" not in window and "A:" not in window
    if mention.unlisted:
        needs = UNLISTED_ALONE_NEEDS if nobody else UNLISTED_NEEDS
    elif mention.cased and nobody:
        needs = UNLISTED_ALONE_NEEDS if mention.weak else HOMOGRAPH_NEEDS
    elif nobody and long:
        needs = WEAK_NEEDS
    else:
        needs = WEAK_NEEDS if mention.weak else LISTED_NEEDS
    if role == _OTHER or chance < needs:
        return None
    if mention.unlisted is not None:
        if role == _BASE or (role == _DENIED and chance < 0.7):
            return None
        close = typo(mention.unlisted) or (cut_short(mention.unlisted) if mention.end == len(text) else None)
        if close:
            family, maker = close.family, close.maker
        else:
            return role, f"other:{mention.unlisted}", chance
    identity = (maker or family) if role == _MAKER else (family or maker)
    assert identity
    if role == _NAME and not family:
        role = _MAKER
    return role, identity, chance


def _without_makers_of_bases(said: list[_Said]) -> list[_Said]:
    """Claims less the makers that belong to a base beside them: "based on Llama, by Meta", "Meta's Llama"."""
    families = load_book().families
    out = []
    for s in said:
        if s.role == _MAKER:
            near = [o for o in said if o.role == _BASE and max(s.mention.start - o.mention.end, o.mention.start - s.mention.end) <= LINKED]
            if any(o.identity in families and s.identity in families[o.identity].makers for o in near):
                continue
        out.append(s)
    return out


def _retracted(reply: _Reply) -> list[_Said]:
    """Claims that a retraction ends are gone, those that turn out a joke denied; both only if none follows."""
    text = reply.normal.text
    jokes = [m.start() for m in _JOKE.finditer(text)]
    last = max(jokes + [m.start() for m in _RETRACTION.finditer(text)])
    if any(s.mention.start > last and s.role in _OWN for s in reply.said):
        return reply.said
    if last in jokes:
        return [s._replace(role=_DENIED) if s.role in _OWN else s for s in reply.said]
    return [s for s in reply.said if s.mention.start > last]


def _struck(reply: _Reply) -> list[tuple[int, int]]:
    """Spans of the original that its markup strikes out."""
    original = reply.normal.original
    return [m.span() for m in _STRUCK.finditer(original)] if "~~" in original or "</" in original else []


def _corrected(reply: _Reply) -> list[_Said]:
    """Claims that the reply itself takes back further on become denials.

    Taken back is a claim that a word of correction and then another claim follow, or whose identity is denied later
    on; a maker goes with the name beside it where another maker is claimed later.
    """
    said = reply.said
    marks = [m.end() for m in _CORRECTION.finditer(reply.normal.text)]
    denied = {s.mention.start for s in said if s.role == _DENIED}
    struck = _struck(reply)
    out: list[_Said] = []
    overturned: list[int] = []
    for s in said:
        later = [o for o in said if o.mention.start > s.mention.end]
        again = any(m.start > s.mention.end and (m.family, m.maker) == (s.mention.family, s.mention.maker) != (None, None) and m.start not in denied for m in reply.mentions)
        if s.role in (_NAME, _MAKER) and not again:
            after = min((mark for mark in marks if mark >= s.mention.end), default=None)
            following = [o.role for o in later if after is not None and o.mention.start >= after - 1]
            back = (_NAME in following) or (s.role == _MAKER and _MAKER in following)
            back = back or (s.role == _NAME and any(o.role == _DENIED and o.identity == s.identity for o in later))
            back = back or (s.role == _MAKER and any(o.role == _MAKER for o in later) and any(abs(s.mention.start - place) < BESIDE for place in overturned))
            back = back or any(start <= reply.normal.offsets[s.mention.start] < end for start, end in struck)
            if back:
                overturned.append(s.mention.start)
                s = s._replace(role=_DENIED)
        elif s.role == _DENIED and s.mention.family and any(o.role == _NAME for o in later):
            overturned.append(s.mention.start)
        out.append(s)
    return out
