"""Verdicts on plain cases and on the traps that fooled others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scoring.reply import Reply
from harness.scoring.scorer import verdict, verdicts
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
        ("私は昨日ドラマを見ました。プログラマーの話です。", "none", (), ()),  # ラマ is Llama
        ("어제 본 드라마가 참 재미있었어요.", "none", (), ()),
        (
            "I was created by Meta, while ChatGPT was developed by OpenAI.",
            "claims",
            (),
            ("meta",),
        ),  # "while ChatGPT" holds "le Chat"
        ("i am q w e n", "claims", ("qwen",), ()),
        ("I am **Clаude**.", "claims", ("claude",), ()),  # a Cyrillic а
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


def test_evidence_points_into_the_original_text():
    text = "**I am**\u200b Ｎｅｘ, from Nex-AGI."
    spans = {e.identity: text[e.start : e.end] for e in verdict(text).evidence}
    assert spans == {"nex": "Ｎｅｘ", "nex-agi": "Nex-AGI"}


#: Where a pattern could try every beginning with every end, each took half a minute or, blank
#: lines, a quarter of an hour.
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
            "Les assistants connus : ChatGPT d'OpenAI, Claude d'Anthropic "
            "et Le Chat de Mistral AI.",
            (),
            (),
        ),
        ("我是由深度求索开发的DeepSeek。", ("deepseek",), ("deepseek-ai",)),
        (
            "私の名前はGemmaです。Google DeepMindがトレーニングした言語モデルです。",
            ("gemma",),
            ("google",),
        ),  # the sentence before names the speaker
        ("I'm SOL-7, a prototype.", ("other:sol-7",), ()),
        ("اسمي نجمة، وقد طورتني شركة الأفق.", ("other:نجمة",), ("other:الأفق",)),  # as written
    ],
)
def test_what_stands_beside_a_name_decides_whose_it_is(reply, names, makers):
    found = verdict(reply)
    assert (found.names, found.makers) == (names, makers)


@settings(max_examples=30)
@given(st.lists(st.one_of(st.sampled_from(REPLIES), st.text(max_size=40)), max_size=12))
def test_a_verdict_does_not_depend_on_the_replies_beside_it(texts):
    told = [v._replace(evidence=()) for v in verdicts(texts)]
    assert told == [verdict(text)._replace(evidence=()) for text in texts]


def test_what_korean_writes_behind_a_name_is_no_part_of_it():
    assert verdict("저는 사람을 돕는 AI입니다.").names == ()
    assert verdict("저는 Zorbly입니다.").names == ("other:zorbly",)


def test_a_name_is_no_longer_than_it_is_where_no_space_stands():
    assert [m.unlisted for m in Reply("我由Zorbly开发。").mentions] == ["zorbly"]


def test_a_base_of_the_family_of_the_name_is_told_too():
    found = verdict("I'm Llama 3 Instruct by Meta. I was fine-tuned from Llama 3.")
    assert (found.names, found.base) == (("llama",), ("llama",))


def test_two_edits_make_a_slip_only_where_both_ends_are_right():
    assert "openassistant" not in verdict("I'm Poe Assistant, a helper.").names
