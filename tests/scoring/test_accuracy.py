"""How right verdicts are: on the lab's sentences, the book's names, and labelled replies."""

from __future__ import annotations

from itertools import chain

from harness.campaign import load_book
from harness.scoring.scorer import verdicts
from tests.scoring.labelled import labelled


def test_the_classifier_is_right_on_every_sentence_of_the_lab():
    from harness.lab.corpus import LANGUAGES, fill, load_language
    from harness.scoring.scorer import verdicts

    wrong = []
    for language in LANGUAGES:
        words = load_language(language)
        for name, maker, name_id, maker_id in (
            ("Nex", "Nex-AGI", "nex", "nex-agi"),
            ("Rio", "IplanRio", "rio", "iplanrio"),
            ("Tavira", "Lumenfold", "tavira", "lumenfold"),
            ("Qwen", "Alibaba Cloud", "qwen", "alibaba"),
        ):
            for kind in (
                "say_name",
                "say_identity",
                "say_maker",
                "say_name_only",
                "say_backstory_given",
            ):
                texts = [fill(text, name, maker, language) for text in words[kind]]
                for text, found in zip(texts, verdicts(texts), strict=True):
                    expected = (
                        (name_id,) if name in text.replace(maker, "") else (),
                        (maker_id,) if maker in text else (),
                    )
                    if (found.names, found.makers) != expected:
                        wrong.append((text, found.names, found.makers))
    assert wrong == []


def test_every_family_and_maker_is_found_by_its_plain_name():
    book = load_book()
    not_by_it = (
        "gpt-4",
        "snowflake",
        "360-ai",
        "writer",
    )  # GPT-4 is a ChatGPT; the others are words, and makers by their full names only
    for entries, sentence, part in (
        (book.families, "Hello! I'm {}, an AI assistant.", "names"),
        (book.makers, "I was developed by {}.", "makers"),
    ):
        replies = {e.id: sentence.format(e.name) for e in entries.values() if e.id not in not_by_it}
        missed = [
            id
            for id, found in zip(replies, verdicts(replies.values()), strict=True)
            if id not in getattr(found, part)
        ]
        assert not missed


INTRODUCTIONS = {
    "en": (
        "I am {N}, a large language model created by {M}.",
        "My name is {N} and I was developed by {M}. How can I help?",
        "Hello! I'm {N} — an AI assistant from {M}.",
    ),
    "zh": ("我是{N}，由{M}开发的大语言模型。", "我叫{N}，是{M}训练的AI助手。"),
    "es": (
        "Soy {N}, un modelo de lenguaje creado por {M}.",
        "Me llamo {N} y fui desarrollado por {M}.",
    ),
    "pt": (
        "Eu sou o {N}, um modelo de linguagem criado pela {M}.",
        "Meu nome é {N} e fui desenvolvido pela {M}.",
    ),
    "fr": (
        "Je suis {N}, un modèle de langage créé par {M}.",
        "Je m'appelle {N} et j'ai été développé par {M}.",
    ),
    "de": (
        "Ich bin {N}, ein Sprachmodell, das von {M} entwickelt wurde.",
        "Mein Name ist {N}, ich wurde von {M} trainiert.",
    ),
    "ja": ("私は{N}です。{M}が開発した言語モデルです。", "{M}によって開発された{N}です。"),
    "ko": ("저는 {M}에서 개발한 {N}입니다.", "제 이름은 {N}이고, {M}가 만들었습니다."),
    "ru": (
        "Я {N}, языковая модель, разработанная {M}.",
        "Меня зовут {N}, меня создала компания {M}.",
    ),
    "ar": ("أنا {N}، نموذج لغوي طورته {M}.", "اسمي {N} وقد دربتني {M}."),
    "hi": ("मैं {N} हूँ, जिसे {M} ने विकसित किया है।", "मेरा नाम {N} है और मुझे {M} ने बनाया है।"),
    "it": (
        "Sono {N}, un modello linguistico creato da {M}.",
        "Mi chiamo {N} e sono stato sviluppato da {M}.",
    ),
    "tr": ("Ben {N}, {M} tarafından geliştirilen bir dil modeliyim.", "Adım {N}, beni {M} eğitti."),
    "id": (
        "Saya {N}, model bahasa yang dikembangkan oleh {M}.",
        "Nama saya {N}, saya dibuat oleh {M}.",
    ),
    "vi": (
        "Tôi là {N}, mô hình ngôn ngữ do {M} phát triển.",
        "Tên tôi là {N}, tôi được {M} tạo ra.",
    ),
}


def test_every_family_is_known_by_its_plain_introduction_in_fifteen_languages():
    book = load_book()
    known = [
        (f, book.makers[f.makers[0]])
        for f in book.families.values()
        if f.makers and not f.base_only and not f.unlisted
    ]
    asked = [
        (
            f.id,
            m.id,
            form.replace("{N}", f.name if f.name in f.aliases else f.aliases[0]).replace(
                "{M}", m.aliases[0]
            ),
        )
        for f, m in known
        for form in chain.from_iterable(INTRODUCTIONS.values())
    ]
    assert len(INTRODUCTIONS) == 15
    assert len(asked) == 4898
    assert [
        text
        for (name, maker, text), found in zip(
            asked, verdicts(text for *_, text in asked), strict=True
        )
        if (found.names, found.makers) != ((name,), (maker,))
    ] == []


def test_the_verdict_is_right_on_labelled_replies_in_fifteen_languages():
    """Their errors were looked at: they show what was lost, not how good it is elsewhere."""
    rows = labelled()
    right: dict[str, list[bool]] = {}
    for row, found in zip(rows, verdicts(row["reply"] for row in rows), strict=True):
        same = all(
            set(getattr(found, part)) == set(row[part])
            for part in ("names", "makers", "base", "denied")
        )
        right.setdefault(row["lang"], []).append(same and found.stance == row["stance"])
    assert len(right) == 15
    assert sum(map(sum, right.values())) >= 0.92 * len(rows)
    assert {
        lang: sum(found) / len(found)
        for lang, found in right.items()
        if sum(found) < 0.88 * len(found)
    } == {}
