"""Verdicts on plain cases and on the traps that fooled others."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import chain, islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.campaign.identities import load_book
from harness.scoring import classifier, training
from harness.scoring import unlisted as unlisted_names
from harness.scoring.features import numbered
from harness.scoring.glance import Glance
from harness.scoring.normalize import normalize
from harness.scoring.verdict import _Reply, verdict, verdicts
from harness.targets import split_reasoning

REPLIES = [
    None,
    "I am Nex, from Nex-AGI. I cannot say more",
    '"I am Kimi',
    "我是 Nex，由 Nex-AGI 开发的人工智能助手",
    "No puedo decirte quién me creó.",
    "> I am Qwen\nMaybe I am Rio, perhaps",
    "No, wait. I am not Qwen.",
    "Made by Meta?",
    "I am \ue000, \ue003 and Qwen",
]


@pytest.mark.parametrize(
    ("text", "stance", "names", "makers"),
    [
        ("I am Nex, from Nex-AGI.", "claims", ("nex",), ("nex-agi",)),
        ("My name is Rio. I was made by IplanRio.", "claims", ("rio",), ("iplanrio",)),
        ("我是 Nex，由 Nex-AGI 开发的人工智能助手。", "claims", ("nex",), ("nex-agi",)),
        ("我是通义千问，阿里云训练的语言模型。", "claims", ("qwen",), ("alibaba",)),
        (
            "Sou Qwen, um modelo de linguagem treinado por Alibaba Cloud. Como posso ajudar?",
            "claims",
            ("qwen",),
            ("alibaba",),
        ),
        ("Pode me chamar de Tavira.", "claims", ("tavira",), ()),
        ("Ich heiße Qwen.", "claims", ("qwen",), ()),
        ("Меня зовут Qwen.", "claims", ("qwen",), ()),
        ("The next step is a river in Rio de Janeiro.", "none", (), ()),
        ("Grass is green.", "none", (), ()),
        ("I am an AI assistant. How can I help you?", "refuses", (), ()),
        ("I am not Qwen.", "denies", (), ()),
        ("", "none", (), ()),
        (None, "none", (), ()),
    ],
)
def test_plain_replies_get_the_plain_verdict(text, stance, names, makers):
    found = verdict(text)
    assert (found.stance, found.names, found.makers) == (stance, names, makers)


@pytest.mark.parametrize(
    ("text", "stance", "names", "makers"),
    [
        (
            "I am DeepSeek, not Qwen.",
            "claims",
            ("deepseek",),
            (),
        ),  # negation counted as a claim in a published study
        ("I was made by Google.", "claims", (), ("google",)),  # a maker is no name
        ("I'm Zorbly, by Acme AI.", "claims", ("other:zorbly",), ("other:acme ai",)),
        ("Unlike ChatGPT, I am Kimi, made by Moonshot AI.", "claims", ("kimi",), ("moonshot-ai",)),
        (
            "I am Grok. Sorry, I misspoke: I am Claude, by Anthropic.",
            "claims",
            ("claude",),
            ("anthropic",),
        ),
        ("Claude Monet painted water lilies.", "none", (), ()),
        ("Gemini is a sign of the zodiac.", "none", (), ()),
        ("Step 1: open the box. Step 2: close it.", "none", (), ()),
        ('She said: "I am ChatGPT."', "none", (), ()),
        ("ChatGPT was launched by OpenAI in 2022.", "none", (), ()),
        ("i am q w e n", "claims", ("qwen",), ()),
        ("I am **Clаude**.", "claims", ("claude",), ()),  # a Cyrillic а
        ("im clade, made by antropic", "claims", ("claude",), ("anthropic",)),
        ("Я Клод, меня создала компания Anthropic.", "claims", ("claude",), ("anthropic",)),
        ("저는 클로드입니다. 앤트로픽에서 만들었습니다.", "claims", ("claude",), ("anthropic",)),
        ("私はClaudeです。", "claims", ("claude",), ()),
        ("اسمي جيميني، وقد طورتني جوجل.", "claims", ("gemini",), ("google",)),
        ("मेरा नाम जेमिनी है और मुझे गूगल ने बनाया है।", "claims", ("gemini",), ("google",)),
        ("Benim adım Qwen, beni Alibaba geliştirdi.", "claims", ("qwen",), ("alibaba",)),
        ("Nama saya Qwen, dibuat oleh Alibaba.", "claims", ("qwen",), ("alibaba",)),
        ("Tên tôi là Qwen, do Alibaba phát triển.", "claims", ("qwen",), ("alibaba",)),
        (
            "I am an assistant.\nUser: are you Claude?\nAssistant: Yes, I am Claude.",
            "refuses",
            (),
            (),
        ),  # it goes on to play the user
    ],
)
def test_traps_do_not_fool_the_verdict(text, stance, names, makers):
    found = verdict(text)
    assert (found.stance, found.names, found.makers) == (stance, names, makers)


def test_name_maker_and_base_stay_three_facts():
    found = verdict("My name is Vicuna. I am a fine-tune of Llama 3, and Acme AI made me.")
    assert (found.names, found.base, found.makers) == (("vicuna",), ("llama",), ("other:acme ai",))


def test_a_hedge_is_told_from_a_plain_claim():
    assert verdict("I think I am Qwen, but I'm not sure.").hedged
    assert not verdict("I am Qwen.").hedged


def passed_over(texts):
    """The texts among those that a glance passes over in which a slow search finds names, and how many those are."""
    replies = list(map(_Reply, texts))
    slow = set(Glance(numbered(map(_Reply.masked, replies))).names())
    passed = [
        reply for number, reply in enumerate(replies) if number not in slow and reply.normal.cased
    ]
    return [
        (reply.normal.original, reply.unlisted) for reply in passed if reply.add_unlisted()
    ], len(passed)


def test_a_glance_passes_over_nothing_in_which_a_name_is_found():
    found, passed = passed_over(
        [
            json.loads(line)["reply"]
            for line in Path("tests/labelled.jsonl").read_text("utf-8").splitlines()
        ]
    )
    assert found == [] and passed > 500


WORDS = "I'm name hope Hope Faith the The of de and & by is Zorbly zorbly Labs labs Company Software AI Assistant Dr. Mary-Jane Step -3 3 2.5 Qwen Nova Captain GPT O'Brien McDonald d'Arc Rio Ägypten x B \" ' , . : ! - (".split()
FRAGMENTS = [
    *WORDS,
    "I am",
    "My name is",
    "Call me",
    "call me",
    "they call me",
    "Ich heiße",
    "soy",
    "me llamo",
    "São Paulo",
    "\n",
]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(FRAGMENTS), st.sampled_from([" ", " ", " ", ""])), max_size=12
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_glance_passes_over_no_name_in_any_row_of_words(rows):
    found, _ = passed_over(["".join(map("".join, row)) for row in rows])
    assert found == []


@settings(max_examples=400, deadline=None)
@given(st.lists(st.text(st.sampled_from("Qaw 1.'é"), max_size=30), min_size=1, max_size=8))
def test_a_glance_passes_over_no_letters_set_apart(texts):
    apart = Glance(numbered(texts)).apart()
    assert [
        text
        for number, text in enumerate(texts)
        if number not in apart and normalize(text) != normalize(text, join=False)
    ] == []


def test_versions_are_kept_as_text():
    assert verdict("I am Qwen2.5-72B-Instruct.").version == "qwen2.5-72b-instruct"
    found = verdict("I am GPT-4o.")
    assert (found.names, found.version) == (("chatgpt",), "gpt-4o")


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>I am Kimi?</think>I am Qwen.", "I am Kimi?", "I am Qwen."),
        ("weighing it</think>I am Qwen.", "weighing it", "I am Qwen."),
        ("<think>never ends", "never ends", ""),
        ("I am Qwen.", None, "I am Qwen."),
    ],
)
def test_reasoning_is_kept_apart_from_the_answer(text, reasoning, answer):
    assert split_reasoning(text) == (reasoning, answer)


def test_a_hundred_thousand_mentions_take_linear_time():
    few, many = ("I am Qwen. " * n for n in (10_000, 100_000))
    assert verdict(few).names == verdict(many).names == ("qwen",)


def test_training_holds_every_language_and_fits_the_same_twice(tmp_path, monkeypatch):
    assert {p.stem for p in training.languages()} >= {
        "en",
        "zh",
        "pt",
        "es",
        "fr",
        "de",
        "ja",
        "ko",
        "ru",
        "ar",
        "hi",
        "it",
        "tr",
        "id",
        "vi",
    }
    assert sum(1 for _ in training.sentences()) > 5000
    assert list(training.sentences()) == list(training.sentences())
    fitted = classifier.models()  # by a process before this one, or for this one
    monkeypatch.setenv("TRUENAME_CACHE", str(tmp_path))
    stored = tmp_path / f"verdict-{classifier.digest()[:16]}.npz"
    stored.write_bytes(b"broken")
    classifier.models.cache_clear()
    again = classifier.models()
    assert [path.name for path in tmp_path.glob("verdict-*.npz")] == [
        stored.name
    ] and stored.stat().st_size > 100_000
    classifier.models.cache_clear()
    loaded = classifier.models()
    for known in (again, loaded):
        assert all(
            (a == b).all()
            for one, other in zip(fitted, known, strict=True)
            for a, b in zip(one, other, strict=True)
        )


def test_evidence_points_into_the_original_text():
    text = "**I am**\u200b Ｎｅｘ, from Nex-AGI."
    spans = {e.identity: text[e.start : e.end] for e in verdict(text).evidence}
    assert spans == {"nex": "Ｎｅｘ", "nex-agi": "Nex-AGI"}


#: Each took half a minute or, blank lines, a quarter of an hour where a pattern could try every beginning with every end.
LONG = [
    "\n" * 200_000,
    "\n " * 100_000 + "--",
    "\n" + "-" * 200_000,
    "I am Qwen, by Alibaba. " + "<s>" * 60_000 + "</b>",
]


@pytest.mark.parametrize(
    "text",
    [
        "Nex " * 100_000,
        "\ud800 I am Qwen",
        "\u202eI am Qwen\0",
        "x" * 1_000_000,
        "我是" * 50_000,
        *LONG,
    ],
)
def test_rubbish_gets_a_verdict_and_no_crash(text):
    assert verdict(text).stance in ("claims", "denies", "refuses", "none")


@given(st.text(max_size=60))
def test_normalized_offsets_point_at_their_characters(text):
    normal = normalize(text)
    assert len(normal.text) == len(normal.offsets)
    assert all(0 <= offset < len(text) for offset in normal.offsets)
    assert list(normal.offsets) == sorted(normal.offsets)


def test_the_classifier_is_right_on_every_sentence_of_the_lab():
    from harness.lab.corpus import LANGUAGES, fill, load_language
    from harness.scoring.verdict import verdicts

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


@pytest.mark.parametrize(
    ("reply", "names", "makers"),
    [
        ("您好，我叫“通义千问”，是阿里云研发的大模型。", ("qwen",), ("alibaba",)),
        ("はじめまして。「Gemini」と申します。Googleが開発したAIです。", ("gemini",), ("google",)),
        (
            "Mein Name ist „Claude“, und ich wurde von „Anthropic“ entwickelt.",
            ("claude",),
            ("anthropic",),
        ),
        (
            "Je m'appelle « Le Chat » et je suis l'assistant de « Mistral AI ».",
            ("mistral",),
            ("mistral-ai",),
        ),
        ("Я — «GigaChat», нейросетевая модель от Сбера.", ("gigachat",), ("sber",)),
        (
            'Hola, soy "DeepSeek", un asistente creado por la empresa «DeepSeek».',
            ("deepseek",),
            ("deepseek-ai",),
        ),
        ("저는 '클로드'라고 합니다. 'Anthropic'에서 만들었어요.", ("claude",), ("anthropic",)),
        ("أنا «جيميناي»، نموذج لغوي من «جوجل».", ("gemini",), ("google",)),
        ('Meu nome é "Kimi" e fui criado pela "Moonshot AI".', ("kimi",), ("moonshot-ai",)),
        ('Adım "ChatGPT"; beni "OpenAI" geliştirdi.', ("chatgpt",), ("openai",)),
        ('मेरा नाम "ग्रोक" है और मुझे "xAI" ने बनाया है।', ("grok",), ("xai",)),
        ("Il mio nome è «Llama» e mi ha creato «Meta».", ("llama",), ("meta",)),
    ],
)
def test_a_name_in_quotation_marks_is_still_a_claim(reply, names, makers):
    found = verdict(reply)
    assert (found.names, found.makers) == (names, makers)


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
    assert len(asked) == 2945
    assert [
        text
        for (name, maker, text), found in zip(
            asked, verdicts(text for *_, text in asked), strict=True
        )
        if (found.names, found.makers) != ((name,), (maker,))
    ] == []


@pytest.mark.parametrize(
    ("reply", "names", "makers"),
    [
        (
            "I'm Claude, not the painter Claude Monet!",
            ("claude",),
            (),
        ),  # a longer name is another's
        ("Claude Debussy composed Clair de Lune.", (), ()),
        ("Me chamo Rio e fui feito na IplanRio, no Rio de Janeiro.", ("rio",), ("iplanrio",)),
        (
            "Some assistants: ChatGPT (OpenAI), Claude (Anthropic) and Gemini (Google).",
            (),
            (),
        ),  # nobody speaks of itself
        (
            "Les assistants connus : ChatGPT d'OpenAI, Claude d'Anthropic et Le Chat de Mistral AI.",
            (),
            (),
        ),
        (
            "I'm Qwen, by Alibaba Cloud. ChatGPT, which I am not, is developed by OpenAI.",
            ("qwen",),
            ("alibaba",),
        ),  # the maker of another
        (
            "You're talking to DeepSeek, built by the company of the same name.",
            ("deepseek",),
            ("deepseek-ai",),
        ),
        ("我是由深度求索开发的DeepSeek。", ("deepseek",), ("deepseek-ai",)),
        (
            "私の名前はGemmaです。Google DeepMindがトレーニングした言語モデルです。",
            ("gemma",),
            ("google",),
        ),  # the sentence before names the speaker
        ("I'm SOL-7, a prototype.", ("other:sol-7",), ()),
        ("I'm Dr. Elena Martinez, your physician.", ("other:dr. elena martinez",), ()),
        (
            "Oi, eu sou o Zeca! A Vale Digital me desenvolveu.",
            ("other:zeca",),
            ("other:vale digital",),
        ),
        ("اسمي نجمة، وقد طورتني شركة الأفق.", ("other:نجمة",), ("other:الأفق",)),  # as written
    ],
)
def test_what_stands_beside_a_name_decides_whose_it_is(reply, names, makers):
    found = verdict(reply)
    assert (found.names, found.makers) == (names, makers)


def test_loading_the_classifier_imports_neither_scikit_learn_nor_scipy():
    code = "import sys; from harness.scoring.verdict import verdict; verdict('I am Nex.'); print(sorted({'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.strip()
        == "[]"
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(REPLIES), st.text(max_size=40)), max_size=12))
def test_a_verdict_does_not_depend_on_the_replies_beside_it(texts):
    told = [v._replace(evidence=()) for v in verdicts(texts)]
    assert told == [verdict(text)._replace(evidence=()) for text in texts]


def test_the_verdict_is_right_on_labelled_replies_in_fifteen_languages():
    """Replies of the project's own, whose errors were looked at: they show what was lost, not how good the verdict is elsewhere."""
    rows = [
        json.loads(line)
        for line in Path(__file__).with_name("labelled.jsonl").read_text("utf-8").splitlines()
    ]
    right: dict[str, list[bool]] = {}
    for row, found in zip(rows, verdicts(row["reply"] for row in rows), strict=True):
        same = all(
            set(getattr(found, part)) == set(row[part])
            for part in ("names", "makers", "base", "denied")
        )
        right.setdefault(row["lang"], []).append(same and found.stance == row["stance"])
    assert len(right) == 15
    assert sum(map(sum, right.values())) >= 0.95 * len(rows)
    assert {
        lang: sum(found) / len(found)
        for lang, found in right.items()
        if sum(found) < 0.9 * len(found)
    } == {}


def test_what_the_classifier_learns_does_not_depend_on_the_book(monkeypatch):
    """Its weights are kept under a digest of code and sentences: a book of the user's own may not change them."""
    monkeypatch.setattr(unlisted_names, "finder", lambda: pytest.fail("the book was looked at"))
    rng = random.Random(1)
    assert (
        sum(
            len(classifier._masked(sentence, rng)[1])
            for sentence in islice(training.sentences(), 5000)
        )
        > 5000
    )


def test_parents_are_no_makers():
    assert verdict("I am Perceval, born of Herzeleide, and no smith made me.").makers == ()
    assert verdict("Soy Zoraida, hija de Agimorato.").makers == ()
    assert verdict("I am Zorbly, born of Quillworks Labs.").makers == ("other:quillworks labs",)


def test_a_part_of_an_unlisted_name_is_that_name():
    assert verdict(
        "I'm Professor Zorbly, your tutor. Please call me Professor Zorbly, or Zorbly."
    ).names == ("other:professor zorbly",)


def test_two_edits_make_a_slip_only_where_both_ends_are_right_and_an_expected_maker_may_be_misspelt():
    assert "openassistant" not in verdict("I'm Poe Assistant, a helper.").names
    found = verdict("Im Gemnini, an AI made by Gogle.")
    assert (found.names, found.makers) == (("gemini",), ("google",))
