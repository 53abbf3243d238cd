"""Tokens of a reply in which mentions are marks, and the features of the window around one mark.

Words in scripts with spaces, single characters in Han, Kana and Thai, every sign a token of its own. A window ends
with its sentence; the sentences beside it lend a few tokens under names of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

from harness.scoring.concepts import concepts, in_order

#: Marks that stand for mentions: a family, a maker, a word that is both, a name that no book lists.
NAME, MAKER, EITHER, UNLISTED = "\ue000", "\ue001", "\ue002", "\ue003"
MARKS: Final = frozenset((NAME, MAKER, EITHER, UNLISTED))
ENDS: Final = frozenset(".!?。！？।؟\n;；…")
#: Signs and words that end a clause.
CLAUSE_ENDS: Final = frozenset(
    ', ; : ( ) | " - ، 、 ， and but while whereas though although because since so yet und aber sondern während obwohl et mais tandis y pero sino mientras '
    "e mas porém enquanto ma mentre и но а ve ama fakat dan tetapi tapi sedangkan và nhưng còn mà و लेकिन और बल्कि".split()
)
_REFUSAL_CONCEPTS: Final = frozenset(("tell", "assistant", "name", "make", "not", "you", "company", "base"))
_QUESTIONS: Final = frozenset("?？؟")
_TOKEN: Final = re.compile("[\ue000-\ue003]|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|(?:[^\\W_]|[\u0300-\u036f\u0900-\u0dff])+(?:'[^\\W_]+)*|[^\\w\\s]|\n")
_PLAIN_TOKEN: Final = re.compile("[a-z0-9]+(?:'[a-z0-9]+)*|[^\\sa-z0-9_]|\n")
NEAR, BESIDE = 12, 6
#: Words by which a speaker speaks of itself, in fifteen languages; characters for Han and Kana.
_SELF: Final = frozenset(
    "i i'm im i've i'd me my mine myself we us our ich mich mir mein meine meinen meiner meinem bin soy yo mi mis me conmigo fui estoy je j m moi mon ma mes suis "
    "eu sou meu minha meus minhas fui mim comigo estou sono io mio mia miei mi me я меня мне мой моя моё мое мои мной 我 俺 私 僕 저는 저를 제 제가 저 나는 나를 전 절 내 난 "
    "انا اسمي اسمى لي مطوري صانعي طورتني دربتني صنعتني انشاتني بنتني تطويري تدريبي انشائي لست मैं मुझे मेरा मेरे मेरी हूँ हूं ben beni bana benim adım ismim değilim "
    "talking chatting speakest falando conversando aqui aquí hablando conversando parlez parles ici hier sprichst sprechen parlando qui говорите говоришь общаетесь связи bicara berbicara konuşuyorsun konuşuyorsunuz chuyện đây تتحدث معك बात 대화하고 이야기하고 "
    "saya aku namaku ku tôi mình tớ arr here speaking yours 奴 吾 拙 咱 bana derler je m'a m'appelle j'ai j'appartiens m'ont c'est qu'on d'être chamo chamo-me llamo chiamo heiße".split()
)
_SELF_ENDING: Final = re.compile(r"(?:ım|im|um|üm|yım|yim|dım|dim|ldim|ldım|lerim|صيني|متني|رتني|بتني|عتني)$")


def tokenize(text: str, *, plain: bool = False) -> list[str]:
    """Tokens of normalised text; ``plain``: it is ASCII but for marks, which is read at twice the speed."""
    return (_PLAIN_TOKEN if plain else _TOKEN).findall(text)


@lru_cache(maxsize=65536)
def is_own(token: str) -> bool:
    """True for a word by which a speaker speaks of itself."""
    return token in _SELF or _SELF_ENDING.search(token) is not None


@lru_cache(maxsize=65536)
def could_refuse(token: str) -> bool:
    """True for a word that a sentence which declines to tell an identity holds at least once."""
    return is_own(token) or not _REFUSAL_CONCEPTS.isdisjoint(concepts(token))


def features(tokens: Sequence[str], at: int) -> list[str]:
    """Names of the features of the mark ``tokens[at]``: its neighbours, its clause, its sentence, the sentences beside."""
    mark = tokens[at]
    first = at
    lowest = max(0, at - NEAR)
    while first > lowest and tokens[first - 1] not in ENDS:
        first -= 1
    last = at
    highest = min(len(tokens) - 1, at + NEAR)
    while last < highest and tokens[last + 1] not in ENDS:
        last += 1
    left, right = tokens[first:at], tokens[at + 1 : last + 1]
    before = tokens[first - 1] if first else "^"
    after = tokens[last + 1] if last + 1 < len(tokens) else "$"
    l1, l2, l3 = [*left[-3:][::-1], "<" + before, "<<", "<<<"][:3]
    r1, r2, r3 = [*right[:3], ">" + after, ">>", ">>>"][:3]
    found = [
        mark, "A" + l1, "B" + l2, "C" + l3, "D" + l2 + " " + l1, "F" + r1, "G" + r2, "H" + r3, "I" + r1 + " " + r2, "K" + l1 + " " + r1,
        mark + "A" + l1, mark + "F" + r1, mark + "D" + l2 + " " + l1, mark + "I" + r1 + " " + r2,
        "N" + l1[:4], "O" + l1[-3:], "P" + r1[:4], "Q" + r1[-3:], "R" + before, "S" + after, "T" + l2[-3:] + " " + l1,
    ]  # fmt: skip
    found += ["l" + t for t in left]
    found += ["m" + a + " " + b for a, b in pairwise(left)]
    found += ["r" + t for t in right]
    found += ["s" + a + " " + b for a, b in pairwise(right)]
    if first:
        found += ["v" + t for t in tokens[max(0, first - BESIDE) : first]]
    if after != "$":
        found += ["w" + t for t in tokens[last + 1 : last + 1 + BESIDE]]
    own_left, own_right = any(map(is_own, left)), any(map(is_own, right))
    own = own_left or own_right
    found.append("self" if own else "nobody")
    found.append(mark + found[-1])
    if not own and (not left) + (not right) < 2:
        found.append("nobody " + l1)
    before_it, after_it = in_order(left), in_order(right)
    found += [f"%l{concept}{min(3, (len(left) - place) // 3)}" for concept, place in before_it]
    found += [f"%r{concept}{min(3, place // 3)}" for concept, place in after_it]
    found += [f"%{mark}l{concept}" for concept, _ in before_it]
    found += [f"%{mark}r{concept}" for concept, _ in after_it]
    shape = [concept for concept, _ in before_it[-2:]], [concept for concept, _ in after_it[:2]]
    found.append(f"%shape {'S' if own else 'N'} {'-'.join(shape[0])}.{'-'.join(shape[1])}")
    found.append(f"%{mark}shape {'S' if own else 'N'} {'-'.join(shape[0][-1:])}.{'-'.join(shape[1][:1])}")
    found += _speaker(left, right)
    others = "".join([t for t in left if t in MARKS]), "".join([t for t in right if t in MARKS])
    found += [f"<{mark}{others[0][-2:]}", f">{mark}{others[1][:2]}", f"<>{min(3, len(others[0]))}{min(3, len(others[1]))}"]
    found += _clause(mark, left, right, before_it, after_it, own_left=own_left, own_right=own_right)
    if first and any(t in _SELF for t in tokens[max(0, first - 12) : first]):
        found.append("self before")
    if after in _QUESTIONS:
        found.append("?")
    line = at
    while line and tokens[line - 1] != "\n":
        line -= 1
    if tokens[line] == ">":
        found.append("quoted line")
    if (tokens[max(0, at - 60) : at].count('"')) % 2:
        found.append('"')
        found.append('"' + mark)
    return found


def _speaker(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """How far the nearest word for the speaker is on each side, and what stands between it and the mark."""
    found = []
    for side, away in (("<", left[::-1]), (">", right)):
        for distance, token in enumerate(away[:14]):
            if is_own(token):
                between = away[:distance] if side == ">" else away[:distance][::-1]
                about = "-".join(dict.fromkeys(concept for concept, _ in in_order(between)))
                clause, marked = not CLAUSE_ENDS.isdisjoint(between), not MARKS.isdisjoint(between)
                found += [f"%{side}own {about} {'|' if clause else ''}{'M' if marked else ''}", f"{side}own {min(distance, 6)}"]
                break
    return found


def _clause(mark: str, left: Sequence[str], right: Sequence[str], before_it: list[tuple[str, int]], after_it: list[tuple[str, int]], *, own_left: bool, own_right: bool) -> list[str]:
    """Features of the clause of a mark: its words, what they are about, and on which side the speaker is."""
    begin = len(left)
    while begin and left[begin - 1] not in CLAUSE_ENDS:
        begin -= 1
    stop = 0
    while stop < len(right) and right[stop] not in CLAUSE_ENDS:
        stop += 1
    near, then = left[begin:], right[:stop]
    own = "S" if own_left and any(map(is_own, near)) else "s" if own_right and any(map(is_own, then)) else "N"
    about = [concept for concept, place in before_it if place >= begin]
    about_then = [concept for concept, place in after_it if place < stop]
    found = ["c<" + t for t in near]
    found += ["c>" + t for t in then]
    found.append("c" + (left[begin - 1] if begin else "^") + (right[stop] if stop < len(right) else "$"))
    found += [f"%c<{own}{concept}" for concept in dict.fromkeys(about)]
    found += [f"%c>{own}{concept}" for concept in dict.fromkeys(about_then)]
    found.append(f"%c{own}{'-'.join(about[-3:])}.{'-'.join(about_then[:2])}")
    found.append("%c" + own + mark)
    return found


def bag(tokens: Sequence[str]) -> list[str]:
    """Features of a whole sentence: words, pairs, and what they are about."""
    found = list(tokens)
    found += [a + " " + b for a, b in pairwise(tokens)]
    found += ["~" + t[:5] for t in tokens if len(t) > 5]
    own = "self" if any(map(is_own, tokens)) else "nobody"
    about = [concept for concept, _ in in_order(tokens[:60])]
    found.append(own)
    found += [f"%{concept}" for concept in dict.fromkeys(about)]
    found += [f"%{own} {concept}" for concept in dict.fromkeys(about)]
    found += [f"%{a}-{b}" for a, b in pairwise(about)]
    found += ["^" + t[:3] for t in tokens if len(t) > 3 and t[0] > "\u0500"]
    return found
