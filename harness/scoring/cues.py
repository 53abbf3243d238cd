"""Words by which a speaker takes back what it said: corrections, retractions, jokes owned up to.

A correction ends with a word.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from harness.scoring.phrases import ALPHABETS_END, Phrases

Kind = Literal["correction", "retraction", "joke", "namesake"]
#: One who takes back what was just said, and may put something in its place.
_CORRECTIONS: Final = (
    "correction; just kidding; (scratch|strike|delete|cancel|disregard|forget) (that|this|it|the); "
    "edit:; erratum; misspoke; retract; withdraw; my mistake; i mean; make that; "
    "(that's|that is) (wrong|not right|not accurate|not correct|incorrect|inaccurate); "
    "(should|ought to) have said; meant to say; "
    "that was (wrong|a mistake|an error|incorrect|inaccurate|false); let me (rephrase|correct); "
    "(take|walk) (that|it) back; apologies; sorry; no, wait; wait; or rather; oops; hold on; "
    "... no,; ... no.; ... no:; ... no!; in truth; actually; "
    "korrektur; verzeih; in wirklichkeit; ich korrigiere; versprochen; ich meine; ich meinte; "
    "äh, nein; moment; entschuldigung; verzeihung; stimmt (so nicht|nicht); hätte sagen sollen; "
    "war falsch; quatsch; unsinn; vielmehr; halt; streichen sie; nehme das zurück; "
    "pardon; oubliez; je me corrige; désolé, non; en réalité; erreur de ma part; je retire; "
    "excusez; attendez; me suis trompé; rectification; (c'est|ce n'est pas) (faux|exact); "
    "je veux dire; je voulais dire; enfin non; ou plutôt; "
    "perdón; perdona; en realidad; error mío; corrección; quise decir; quería decir; disculpa; "
    "corrijo; rectifico; me equivoqué; me confundí; me he confundido; mejor dicho; digo; "
    "olvid(e|a); retiro; fue un error; no es (correcto|exacto); "
    "desculp(e|); correção; perdão; o certo é; na verdade; minto; peço desculpa; retificando; "
    "me enganei; me confundi; falei errado; não está (certo|correto); quer dizer; quis dizer; "
    "aliás; corrigindo; ou melhor; errei; esqueça; "
    "lasci perdere; lascia perdere; correzione; chiedo scusa; in realtà; errore mio; ritiro; "
    "scus(a|ate); volevo dire; cioè; anzi; correggo; mi correggo; ho sbagliato; "
    "non è (esatto|corretto); mi sono sbagliato; "
    "извините; извини; прошу прощения; на самом деле; поправлюсь; я оговорил; простите; поправка; "
    "ошибся; точнее; это (неверно|не так); то есть; вернее; ой; забудьте; беру слова назад; "
    "düzeltiyorum; aslında; düzelteyim; affedersiniz; hayır hayır; özür dilerim; yanlış söyledim; "
    "unutun; demek istediğim; daha doğrusu; geri alıyorum; "
    "maaf; lupakan; sebenarnya; tarik ucapan; koreksi; maksud saya; ralat; keliru; maksudnya; "
    "eh bukan; eh, bukan; eh salah; eh, salah; salah ucap; "
    "xin lỗi; thực ra; nói lại; đúng hơn; ý tôi là; à không; nhầm; đính chính; bỏ câu; rút lại; "
    "不对; 其实; 确切地说; 搞错了; 記憶違い; 実は; 正しくは; 사실은; 다시 말씀; 口误; 不准确; "
    "不正确; 哦不; 我的意思是; 准确地说; 更正; 说错; 纠正; 抱歉; 应该是; 作废; 收回; 間違え; "
    "正しくありません; 訂正; 失礼; じゃなくて; ではなく; 違いました; あ、違; いや; 取り消; 撤回; "
    "아니; 취소; 거두; 정정; 잘못 말; 정확하지 않; 실수; 죄송; "
    "عفوا; عذرا; في الحقيقة; في الواقع; معذره; الصحيح; تصحيح; اخطات; اقصد; بل; انس ذلك; اسحب; "
    "माफ़; दरअसल; असल में; क्षमा; गलत कह; सुधार; भूल जा; वापस लेता; नहीं नहीं; मेरा मतलब"
)
#: One who takes back what was said and puts nothing in its place.
_RETRACTIONS: Final = (
    "(take|walk) (that|it|this) back; (scratch|strike|disregard) (that|it); i (retract|withdraw); "
    "shouldn't have said; nehme (das|es) zurück; je retire; retiro (lo|o que); ritiro; "
    "беру (свои |)слова назад; geri alıyorum; "
    "tarik (kembali |)ucapan; rút lại; 收回; 撤回; 取り消し; 거두; اسحب كلامي; वापस लेता"
)
#: One who owns up to a joke: what was claimed before is denied.
_JOKES: Final = (
    "just kidding; only joking; just a joke; nur spaß; war ein scherz; je plaisante; "
    "c'était une blague; es broma; era broma; brincadeira; scherzo; stavo scherzando; шучу; шутка; "
    "开玩笑; 冗談; 농담; şaka; bercanda; nói đùa; đùa thôi; امزح; मज़ाक; मजाक"
)
#: One whose maker is called as it is.
_NAMESAKES: Final = (
    "of the same name; same name as (my|the) (company|maker|firm|lab|developer|startup); "
    "(also|likewise) the name of (my|the) (company|maker|firm|lab|developer); "
    "(shares|share) (its|my|the|a) name with; is called the same; "
    "goes by the same name; eponymous; "
    "gleichnamig; heißt (genauso|auch so|ebenso); du même nom; éponyme; porte le même nom; "
    "s'appelle pareil; mismo nombre; homónim; mesmo nome; homônim; stesso nome; omonim; "
    "одноимённ; одноименн; "
    "同名; 也叫; 公司名; 会社名でも; 社名でも; 同じ名前; 같은 이름; 회사 이름; 회사명; نفس الاسم; "
    "نفسه اسم; تحمل اسمي; एक ही नाम; यही नाम; इसी नाम; aynı adlı; aynı adı; aynı isim; "
    "bernama sama; nama yang sama; juga nama perusahaan; cùng tên; cũng là tên"
)
_PHRASES: Final[Phrases[Kind]] = Phrases(
    {"correction": _CORRECTIONS, "retraction": _RETRACTIONS, "joke": _JOKES, "namesake": _NAMESAKES}
)


class Cue(NamedTuple):
    """A phrase found at ``start:end`` of the normalised text."""

    kind: Kind
    start: int
    end: int


def cues(text: str) -> list[Cue]:
    """The cues in normalised text, in order of their ends; they can overlap."""
    return [
        Cue(kind, start, end)
        for kind, start, end in _PHRASES.find(text)
        if kind != "correction" or not _goes_on(text, start, end)
    ]


def _goes_on(text: str, start: int, end: int) -> bool:
    """True if the last word of a phrase in an alphabet has more letters than the phrase."""
    letters = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return letters and text[start] < ALPHABETS_END
