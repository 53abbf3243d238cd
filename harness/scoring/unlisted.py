"""Finds what could be a name that no book lists.

Names are taken from where a name can stand: capitals in scripts that have them, phrases of naming
in those that have none, and quotation marks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import filterfalse
from typing import Final

from harness.scoring.features import MAKER, UNLISTED
from harness.scoring.memory import Remembered
from harness.scoring.mentions import MAX_MENTIONS, TITLES, UPPER, Mention, finder
from harness.scoring.normalize import Normal
from harness.scoring.phrases import Phrases
from harness.scoring.training import common_words, given_names, places, uncapitalised_words

#: A word with a capital, "Dr. " before it perhaps.
#: The class comes first, so that `re` runs from capital to capital.
_WORD: Final = (
    rf"[{UPPER}](?<!\w.)(?:(?:(?<=D)r|(?<=M)(?:rs?|s)|(?<=S)t)\. [{UPPER}])?"
    r"[\w'’+]*(?:[-.·][\w]+)*"
)
CAPITALISED: Final = re.compile(rf"[{UPPER}][^\W_]*(?:-\d\w*)?")
_CAPITAL: Final = re.compile(f"[{UPPER}]")
_ADDRESSED: Final = re.compile(r"(?:Dr|Mr|Mrs|Ms|St)\. ")
_CAPITALS: Final = re.compile(
    rf"{_WORD}"
    r"(?:(?: (?:of|de|da|do|dos|del|della|di|du|des|la|the|van|&|de la|of the))?"
    rf" (?:{_WORD}|\d+(?:[.\w]*\w)?))*"
)
#: "AI-powered", "Lambda-based": no names.
_COMPOUND: Final = re.compile(
    r"[\w.]+-(?:powered|based|generated|driven|assisted|enabled|like|style|related|trained|native|"
    r"first|basiert|gestützt|basierte[rsn]?)"
)
#: German writes nouns with capitals: what stands behind these words is one.
_BEFORE_A_NOUN: Final = re.compile(
    r"\b(?:(?:[MmDdSsKk]?ein|[Uu]nser|[Ii]hr|[Dd]ies)(?:e|em|en|er|es)?|zum|zur|ins) $"
)
#: A name in quotation marks has no more characters.
LONGEST_QUOTED: Final = 40
_QUOTED: Final = re.compile(rf'"([^"\n]{{2,{LONGEST_QUOTED}}})"')
#: What can stand between them.
JOINING: Final = ("da", "de", "do", "dei", "del", "des", "della", "du", "of")
#: Two words with capitals.
_TWO_TITLED: Final = re.compile(
    rf"[{UPPER}](?<=[ '’].)[^\W\d_]+ (?:(?:{'|'.join(JOINING)}) )?[{UPPER}][^\W\d_]"
)
#: What a name follows at once; behind the first ones it can be written small.
INTRODUCTIONS: Final[Phrases[str]] = Phrases(
    {
        "called": (
            "my name is; my name's; i'm called; i am called; call me; they call me; "
            "ich heiße; ich heisse; mein name ist; me llamo; mi nombre es; "
            "je m'appelle; mon nom est; mi chiamo; il mio nome è; me chamo; meu nome é; "
            "benim adım; nama saya; tên tôi là; tên mình là; меня зовут; моё имя"
        ),
        "am": (
            "name is; i'm; i am; im; soy; sou; je suis; sono; this is; talking to; talking with; "
            "chatting with; speaking to; speaking with; ben; tôi là; mình là; em là; saya adalah; "
            "namaku"
        ),
    },
    ending=" ",
)
#: A name that is a common word elsewhere or a place, right behind a phrase of naming:
#: "I'm Hope, ...", "I'm Sofia from ...".
_BORNE: Final = re.compile(
    rf"(?!{_ADDRESSED.pattern})([{UPPER}]\w+)"
    r"(?=\W*$|[,.!:;]| -|"
    r" (?:from|by|at|de|da|di|del|of|von|vom|aus|and|und|et|y|e|dan|ve|và|bên|từ|của|dari)\b)"
)
#: Endings behind an apostrophe, English and Turkish.
_SUFFIX: Final = re.compile(
    "'(?:s|[ndy]?[ıiuü][nm]?|[nyd]?[aeıiuü]|[dt][ae]n?|y?l[ae]|y[ıiuü]m|[ıiuü]m)?$"
)
#: What Korean, Japanese and Chinese write at once behind a name in Latin letters: "AI입니다".
_JOINED_ON: Final = re.compile("(?<=[a-z0-9])[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+$")
#: Words for a kind of house that are no part of its name.
_KIND_OF_HOUSE: Final = frozenset("firma unternehmen startup start-up konzern".split())
_SMALL: Final = re.compile(r"[^\W\d_][\w-]{2,20}")
_TITLED: Final = re.compile(r"[A-Z]\w+ [A-Z]\w")
#: Words that show a kind of thing, no name.
THING: Final = re.compile(
    r"\b(?:ai|assist|asist|assistent|bot|chatbot|engineer|ia|intellig|intelig|langu|lengua|lingu|"
    r"machine|model|program|software|system|tool|virtual)"
)
_THING_ELSEWHERE: Final = re.compile(
    "[部组处]$|客服$|助手|模型|人工|语言|語言|机器人|程序|智能(?!$)|知道|"
    "プログラム|アシスタント|モデル|人工知能|言語|"
    "차례|모델|인공지능|비서|어시스턴트|프로그램|챗봇|도우미|"
    "مساعد|نموذج|مجرد|ذكاء|برنامج|"
    "सहायक|मॉडल|प्रोग्राम|एआई|चैटबॉट|नहीं|एक |सिर्फ|केवल|किस|कौन|"
    "谁|誰|哪|누가|누구|어느|어떤"
)
HAN: Final = "\u3400-\u9fff"
_KATA: Final = "\u30a0-\u30ff"
#: A name in Hiragana, which most words are written in: none of the short ones that stand in its
#: place.
_HIRA: Final = (
    "(?!そう|ここ|まだ|ただ|どう|いや|これ|それ|あれ|もち|たぶ|おそ|もう|とて|でき|わか|ちょ|いい|"
    "だめ|むり|ひみ|ない|なん|だれ|だから|です|より|あな|わた|ほん|まあ|では|じゃ|さあ|はい|いえ|"
    "うん|あの|この|その|はず|よう|ため|ほう|とお|こと|もの|つも|おか|せい|うち|こち|そち|どち|"
    "いか|すみ|あり|おは|こん|よろ|ごめ|きょ|あし|だい|ぜひ|まさ|ほか|さて|つま|たし|とく|ふつ|"
    "すべ|すご|すて|うれ|かな|たの|おい|むず|やさ|へん)"
    "[ぁ-ん]{2,6}?"
)
#: A word of a name in Arabic, and in Hindi.
_ARABIC: Final = r"[^\s،.!؟:]{3,15}"
_HINDI: Final = r"[^\s,।!?]{2,15}"
#: How a name is given in scripts without capitals: by a character of the script, what stands where
#: the name does.
NAMINGS: Final = {
    re.compile(rf"[{HAN}]"): (
        re.compile(
            rf"(?:^|[，。、,]|由|是|来自)(?![由是在为和])([{HAN}a-z0-9]{{2,8}}?"
            r"(?:科技|公司|集团|实验室|研究院|工作室|大学|网络|智能|软件|银行|学院|传媒))"
            r"(?=在|把|用|将|为|以|的|开发|训练|研发|打造|推出)"
        ),
        re.compile(
            r"(?:我是|我叫|吾乃|某乃|我乃|名字是|名字叫|名叫|名为|叫做|取名|本名|奴家|"
            r"俺(?:老.)?就是|俺叫|在下|小女子|叫我|称我为|称呼我为)"
            rf"(?![一个由你您他她它不谁什没用来在为被从怎如])([{HAN}a-z0-9·\-]{{2,8}}?)"
            r"(?=[，。！？、,.!?;；~\s—]|$|是|的|就好|就行|就可以|即可|吧|好了|呢|哦|啦|呀|也行)"
        ),
        re.compile(rf"(?:我是|这里是|这是)[^,。!?]{{1,10}}的([{HAN}]{{2,4}})(?=[,。!!~]|$)"),
        re.compile(
            rf"(?:由|是|来自|[,。]|^)([{HAN}a-z0-9·]{{2,14}}?)(?=(?:公司|团队)?(?:自主|自)?"
            r"(?:做|研发|开发|訓練|训练|打造|推出|创建|自研|创造|制作)"
            r"(?:了我|的|出|我|，|。|而成))"
        ),
    ),
    re.compile(f"[\u3040-\u30ff{HAN}]"): (
        re.compile(
            rf"(?:^|[、。は!?\s])([{_KATA}{HAN}a-z0-9]{{2,10}}"
            r"(?:株式会社|ラボ|テクノロジー|テック|研究所|大学|ソフト))(?=の|が|は|で|に|製|から)"
        ),
        re.compile(
            r"(?:私は|わたしは|僕は|俺は|拙者|わしは|それがしは|おいらは|あたいは|我輩は|吾輩は|"
            r"名前は|、|。|^(?:ぼく|僕|俺|私|あたし)?)、?"
            rf"([{_KATA}{HAN}a-z0-9\-]{{2,16}}?)"
            r"(?=です|ですわ|と申し|といい|だよ|だぜ|だぞ|だにゃ|にゃ|なのだ|なのです|だわ|だ。|"
            r"だ！|じゃ|でござる|であります|である|と呼|って呼|という名)"
        ),
        re.compile(
            rf"(?:^|[、。,.!?\s]|私は|わたしは|僕は|名前は|名は)({_HIRA})"
            r"(?=と申し|といい|という名|と呼|って呼|と名乗|と言い)"
        ),
        re.compile(
            rf"(?:私は|わたしは|僕は|名前は|名は|おいらは|あたいは|わしは|うちは)({_HIRA})"
            r"(?=です|だよ|だ。|でござ)"
        ),
        re.compile(
            r"(?:サポート|センター|窓口|受付|担当|部|課|係|店|社|営業)の"
            rf"([{_KATA}{HAN}]{{2,8}})(?=です|と申し|でござ)"
        ),
        re.compile(rf"(?:^|の)({_HIRA})(?=です[。!、]|です$|と申し)"),
        re.compile(
            rf"([{_KATA}{HAN}a-z0-9\-]{{2,16}}?)"
            r"(?=が(?:私を|)(?:開発|作|訓練|生み)|によ[っる]|に(?:開発|作)|製の|の(?:モデル|ai))"
        ),
    ),
    re.compile(r"[가-힣]"): (
        re.compile(
            r"(?:^|[\s,.!])([가-힣a-z0-9]{2,10}"
            r"(?:소프트|연구소|대학교|회사|테크|랩스?|전자|시스템즈?|스튜디오))"
            r"(?=의|가|이|에서|은|는)"
        ),
        re.compile(
            r"(?:저는|나는|전|난|소인은|짐은|소녀는|이름은|모델,|비서,|"
            r"(?:챗봇|비서|상담원|상담사|도우미|어시스턴트|안내원|로봇|"
            r"팀|센터|부서|담당|담당자|지점|매장) |"
            r"(?:개발|제작|훈련|학습|운영|출시|공개)(?:한|시킨)|"
            r"만든|만들어낸|키운|선보인|내놓은|[.!,])"
            r"\s?([가-힣a-z0-9\-]{2,12}?)"
            r"(?=입니다|이에요|예요|라고|이라고|이야|야(?=[\s,.!~]|$)|"
            r"이며|이고|이라 하|이니라|니라|이올시다)"
        ),
        re.compile(
            r"(?:^|[\s,.!])([가-힣a-z0-9\-]{2,8}?)"
            r"(?=이?라고 (?:합니다|해요|하는|불러|불립|불려|부르|부릅)|이?라는 이름)"
        ),
        re.compile(
            r"([가-힣a-z0-9\-]{2,14}?)"
            r"(?=(?:이|가|에서|에 의해) (?:저를 |절 |나를 )?(?:개발|만든|만들|훈련))"
        ),
    ),
    re.compile("[\u0600-\u06ff]"): (
        re.compile(
            r"(?:انا|معك|معكم|اسمي هو|اسمي|نادني|يسمونني|نادوني)"
            rf" ({_ARABIC}(?: {_ARABIC})??)(?=[\s،.!؟]|$)"
        ),
        re.compile(rf"(?:شركة|مختبر|مختبرات|معهد) ({_ARABIC}(?: {_ARABIC})??)(?=[\s،.!؟]|$)"),
    ),
    re.compile("[\u0900-\u097f]"): (
        re.compile(
            rf"({_HINDI} (?:टेक|लैब्स|सिस्टम्स|टेक्नोलॉजीज|टेक्नोलॉजी|सॉफ्टवेयर|स्टूडियो|"
            r"विश्वविद्यालय|संस्थान|एआई))(?= (?:की|का|के|ने|में|द्वारा))"
        ),
        re.compile(rf"(?:मैं|नाम) ({_HINDI}(?: {_HINDI})??) (?:हूँ|हूं|है)"),
        re.compile(rf"(?:मुझे|,|^) ?({_HINDI}(?: {_HINDI})??) (?:ने|का (?:भाषा )?मॉडल)"),
        re.compile(rf"({_HINDI}) बोल रह[ाी] (?:हूँ|हूं)"),
        re.compile(rf"मुझे ({_HINDI}) (?:कहते|कहा|कहिए|कहो|कह|बुला|पुकार|नाम)"),
    ),
}
#: Words in the name of a house: what carries one at its end or beginning is a maker.
HOUSE: Final = re.compile(
    r"(?:inc|corp(?:oration)?|ltd|llc|gmbh|ag|s\.?a|plc|co|labs?|laborator(?:y|ies)|institute?|"
    r"university|college|academy|foundation|technolog(?:y|ies)|computing|systems|software|"
    r"solutions|industries|research|group|company|studios?|ventures|collective|cooperative|"
    r"atelier|estudios?|estúdios?|officina|bottega|taller|werkstatt|gesellschaft|institut|"
    r"universität|stiftung|werke|technik|technologie[ns]?|société|université|fondation|"
    r"laboratoires?|empresa|universidade?|universidad|fundación|fundação|laboratórios?|"
    r"laboratorios?|tecnologías?|tecnologia|istituto|università|fondazione|"
    r"технологии|технолоджиз|институт|университет|лаборатори[яи]|системы|компания|студия|"
    r"мастерская|"
    r"şirketi|üniversitesi|enstitüsü|vakfı|teknoloji|universitas|yayasan|lembaga|teknologi)"
)
_HOUSE_ENDS: Final = re.compile(
    "(?:"
    " टेक| लैब्स| सिस्टम्स| टेक्नोलॉजीज| टेक्नोलॉजी| सॉफ्टवेयर| विश्वविद्यालय| संस्थान|"
    "公司|科技|研究院|研究所|实验室|大学|集团|网络|智能|软件|银行|"
    "株式会社|ラボ|テクノロジー|テック|"
    "소프트|연구소|대학교|회사|테크|랩스?|전자"
    ")$"
)
_I: Final = frozenset("i'm i'd i've i'll".split())
#: What can stand between the end of a sentence and the first word of the next.
_OPENERS: Final = frozenset(" \"'*«“„¡¿(>")


def _shouted(text: str) -> bool:
    """True if a text is written in capitals, as far as its beginning shows."""
    return len(_CAPITAL.findall(text, 0, 200)) * 2 >= len(text[:200])


def _is_house(name: str) -> bool:
    """True if an unlisted name is written like that of a company or an institute."""
    words = name.split()
    if len(words) > 1 and (HOUSE.fullmatch(words[-1].strip(".,")) or HOUSE.fullmatch(words[0])):
        return True
    return _HOUSE_ENDS.search(name) is not None


def _introduced(text: str) -> dict[int, bool]:
    """Where a name can begin, right behind "I am" or the like.

    With it, whether it could be written small there.
    """
    found: dict[int, bool] = {}
    for kind, _, end in INTRODUCTIONS.find(text):
        if end < len(text):
            found[end] = found.get(end, False) or kind == "called"
    return found


@lru_cache(maxsize=2)
def ordinary(common: frozenset[str], listed: frozenset[str]) -> Remembered[str, bool]:
    """Whether a capitalised word is a ``common`` one and no part of a house's name.

    One that the book has ``listed`` is ordinary too.
    """

    def is_ordinary(word: str) -> bool:
        lower = word.lower()
        return (lower in common and not HOUSE.fullmatch(lower)) or lower in listed

    return Remembered(is_ordinary, 100_000)


def unlisted(
    normal: Normal, known: list[Mention], common: frozenset[str] | None = None
) -> list[Mention]:
    """Candidates for names that the book does not list, beside the known mentions.

    With ``common`` words that are none, as in fitting, the book is not looked at.
    """
    listed: frozenset[str] = frozenset()
    if common is None:
        common, listed = common_words(), finder().words
    introduced = _introduced(normal.text)
    borne = _borne(normal, introduced)
    capitalised = list(_capitalised(normal, known, common, listed, introduced))
    spans = [
        *borne,
        *_quoted(normal),
        *_in_normalised(normal, capitalised),
        *_behind_naming(normal, introduced),
    ]
    if not spans:
        return []
    taken = [(m.start, m.end) for m in known]
    surely = {start for start, _ in borne}
    found: list[Mention] = []
    for start, end in spans:
        if any(s <= start < e for s, e in taken):
            continue
        name = _SUFFIX.sub("", normal.text[start:end].strip(" .-'"))
        if listed:  # what was learned from has too few of these to matter
            name = _JOINED_ON.sub("", name)
        end = start + len(name)
        if (
            len(name) > 1
            and not _COMPOUND.fullmatch(name)
            and (start in surely or _stands_out(normal, start, name, common, introduced))
            and not any(s < end and start < e for s, e in taken)
        ):
            taken.append((start, end))
            found.append(_mention(normal, start, end, name))
            if len(found) >= MAX_MENTIONS:
                break
    return found


def _stands_out(
    normal: Normal,
    start: int,
    name: str,
    common: frozenset[str],
    introduced: Collection[int],
) -> bool:
    """True if a candidate is more than common words.

    Two common words or more can be a name where they are introduced, or written as one.
    """
    if not common.issuperset(name.split()):
        return True
    if " " not in name or THING.search(name):
        return False
    return (
        start in introduced
        or _is_house(name)
        or _two_titled(normal.original, normal.offsets[start], name)
    )


def _mention(normal: Normal, start: int, end: int, name: str) -> Mention:
    mark = MAKER if _is_house(name) else UNLISTED
    written = normal.written(start, end)
    return Mention(start, end, mark, None, None, unlisted=name, written=written)


def _within(original: str, space: int) -> bool:
    """True if the word behind a space is not the first of its sentence."""
    return space > 0 and (original[space - 1].isalnum() or original[space - 1] in ",:")


def _two_titled(original: str, start: int, name: str) -> bool:
    """True if two words with capitals begin at ``start``, inside a sentence, that are no place.

    One of them is written small elsewhere.
    """
    words = name.split()
    return (
        _within(original, start - 1)
        and _TWO_TITLED.match(original, start) is not None
        and any(w in uncapitalised_words() for w in words)
        and not any(w in places() for w in words)
    )


def _quoted(normal: Normal) -> list[tuple[int, int]]:
    if '"' not in normal.text:
        return []
    return [m.span(1) for m in _QUOTED.finditer(normal.text) if len(m.group(1).split()) < 5]


def _borne(normal: Normal, introduced: dict[int, bool]) -> list[tuple[int, int]]:
    """Words that are common, or places, but stand where a name does and are written so."""
    found = []
    for start, called in introduced.items():
        m = _BORNE.match(normal.original, normal.offsets[start])
        name = m.group(1).lower() if m else ""
        if m and (called or name in given_names()) and not THING.search(name):
            found.append((start, start + len(m.group(1))))
    return found


def _capitalised(
    normal: Normal,
    known: list[Mention],
    common: frozenset[str],
    listed: frozenset[str],
    introduced: Collection[int],
) -> Iterator[tuple[int, int]]:
    """Capitalised words that are not all common, nor all parts of ``known`` names.

    The spans are of the original.
    """
    original = normal.original
    spans = [normal.span(m.start, m.end) for m in known]
    uncommon = set(filterfalse(ordinary(common, listed).__getitem__, CAPITALISED.findall(original)))
    if uncommon:
        parts = [CAPITALISED.findall(original, start, end) for start, end in spans]
        uncommon.difference_update(*parts)
    titled = _titled(normal, introduced, spans)
    if not (uncommon or titled) or _shouted(original):
        return
    # common words alone are a name at most where one is introduced
    runs = _CAPITALS.finditer(original) if uncommon else _runs_at(original, titled)
    for m in runs:
        if m.group().lower() in common:
            continue
        start, end = m.span()
        if not _ADDRESSED.match(m.group()):
            start, end = _without_common(original, start, end, common)
        if start < end and not _is_a_noun(original, start, end):
            yield start, end


def _titled(normal: Normal, introduced: Collection[int], spans: list[tuple[int, int]]) -> list[int]:
    """Where in the original two words with capitals begin that can be a name, outside ``spans``."""
    original = normal.original
    places = [p for p in map(normal.offsets.__getitem__, introduced) if _TITLED.match(original, p)]
    places += [
        m.start() for m in _TWO_TITLED.finditer(original) if _within(original, m.start() - 1)
    ]
    return sorted(p for p in places if not any(start <= p < end for start, end in spans))


def _is_a_noun(original: str, start: int, end: int) -> bool:
    """True if one word stands where German has a noun."""
    if " " in original[start:end]:
        return False
    return _BEFORE_A_NOUN.search(original, max(0, start - 12), start) is not None


def _in_normalised(normal: Normal, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans of the original as spans of the normalised text, where they have one."""
    if not spans or normal.cased is not None:
        yield from spans
        return
    # of several characters that one became, the first
    back = {p: i for i, p in reversed(list(enumerate(normal.offsets)))}
    for start, end in spans:
        first, last = back.get(start, -1), back.get(end - 1, -1)
        if 0 <= first <= last:
            yield first, last + 1


def _runs_at(original: str, places: list[int]) -> Iterator[re.Match[str]]:
    """The runs of capitalised words that begin at some places, less those inside another."""
    reached = 0
    for place in places:
        m = _CAPITALS.match(original, place) if place >= reached else None
        if m:
            reached = m.end()
            yield m


def _behind_naming(normal: Normal, introduced: dict[int, bool]) -> list[tuple[int, int]]:
    """Words written small behind a phrase of naming.

    In scripts without capitals, all that stands behind one.
    """
    text = normal.text
    called = (start for start, can_be_small in introduced.items() if can_be_small)
    small = [word.span() for start in called if (word := _SMALL.match(text, start))]
    if text.isascii():
        return small
    return small + [
        m.span(1)
        for script, patterns in NAMINGS.items()
        if script.search(text)
        for pattern in patterns
        for m in pattern.finditer(text)
        if not _THING_ELSEWHERE.search(m.group(1))
    ]


def _without_common(text: str, start: int, end: int, words: frozenset[str]) -> tuple[int, int]:
    """A run of capitalised words less the common words that it begins with.

    Those are left out that stand at the start of a sentence.
    """
    while start < end:
        stop = next((p for p in range(start, end) if text[p] == " "), end)
        word = text[start:stop].lower().strip(".'’")
        if (word in TITLES and stop < end) or _ADDRESSED.match(text, start):
            break
        if not (word in words or ("-" in word and words.issuperset(word.split("-")))):
            break
        if not (len(word) < 3 or word in _I or word in _KIND_OF_HOUSE or _opens(text, start)):
            break
        start = stop + 1
    return min(start, end), end


def _opens(text: str, start: int) -> bool:
    """True if a word at ``start`` can be the first of a sentence, a line or a clause."""
    while start and text[start - 1] in _OPENERS:
        start -= 1
    return (
        not start
        or text[start - 1] in ".!?…:;\n—-,|。！？"
        or (text[start - 1].isspace() and text[:start].isspace())
    )
