"""Secrets are hidden wherever they stand, however they are written, and nothing else is."""

from __future__ import annotations

import base64
import html
import json
import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.masking import HIDDEN, PART, Masker

KEY = "sk-planted/key+0123456789abcdefXYZ99"


def masker(*secrets):
    made = Masker()
    for secret in secrets:
        made.know(secret)
    return made


ESCAPED = {
    "plain": (KEY, HIDDEN),
    "JSON, every letter": ("".join(f"\\u{ord(letter):04X}" for letter in KEY), HIDDEN),
    "JSON, slashes": (KEY.replace("/", "\\/"), HIDDEN),
    "JSON in JSON": (json.dumps(json.dumps([KEY.replace("k", "\\u006b")])), f'"[\\"{HIDDEN}\\"]"'),
    "an address": (quote(KEY, safe=""), HIDDEN),
    "an address in an address": (quote(quote(KEY, safe=""), safe=""), HIDDEN),
    "HTML": ("".join(f"&#x{ord(letter):x};" for letter in KEY), HIDDEN),
    "HTML, with nothing at the letters' ends": (
        " ".join(["".join(f"&#{ord(letter)}" for letter in KEY), "and"]),
        f"{HIDDEN} and",
    ),
    "HTML in HTML": (html.escape("".join(f"&#{ord(letter)};" for letter in KEY)), HIDDEN),
    "hexadecimal": (KEY.encode().hex(), HIDDEN),
    "capitals": (KEY.upper(), HIDDEN),
    "backwards": (KEY[::-1], HIDDEN),
    "cut at its end": (f"padding {KEY[:-1]}", f"padding {HIDDEN}"),
    "cut at its beginning": (f"{KEY[1:]} padding", f"{HIDDEN} padding"),
    "JSON, cut at its end": (
        "p " + "".join(f"\\u{ord(letter):04X}" for letter in KEY)[:-9],
        f"p {HIDDEN}\\u0",
    ),
    "an address, cut at its beginning": (
        "".join(f"%25{ord(letter):02X}" for letter in KEY)[7:],
        f"5{ord(KEY[1]):02X}{HIDDEN}",
    ),
    "HTML, cut in the middle": (
        "".join(f"&#{ord(letter)};" for letter in KEY[:20]) + "|" + KEY[20:],
        f"{HIDDEN}|{HIDDEN}",
    ),
    "broken in two": (f"{KEY[:20]}|{KEY[20:]}", f"{HIDDEN}|{HIDDEN}"),
}


@pytest.mark.parametrize(("written", "left"), ESCAPED.values(), ids=ESCAPED)
def test_a_secret_is_hidden_however_it_is_written(written, left):
    known = masker(KEY)
    assert known.hide(written) == left
    assert known.hide(f"before {written} after") == f"before {left} after"
    assert known.hide_bytes(written.encode()) == left.encode()


@pytest.mark.parametrize("before", ["", "a", "ab", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_hidden_at_each_of_its_three_places(before, encode):
    written = encode(f"{before}{KEY}{before}".encode()).decode()
    left = masker(KEY).hide(written)
    assert HIDDEN in left and len(left) <= len(HIDDEN) + 2 * (4 * (len(before) + 2) // 3 + 2)


def test_a_secret_within_another_leaves_no_piece():
    short, long = "abcdefghij", "xxabcdefghijyy"
    for order in ((short, long), (long, short)):
        assert masker(*order).hide(f"<{long}>") == f"<{HIDDEN}>"
    assert masker("abcdefgh1", "fgh1zzzzz").hide("abcdefgh1zzzzz") == HIDDEN


@given(
    st.lists(st.text(min_size=PART, max_size=40), min_size=1, max_size=3),
    st.lists(st.text(max_size=30), min_size=2, max_size=4),
)
def test_no_whole_secret_is_left_in_any_text(secrets, around):
    secrets = [secret for secret in (s.strip() for s in secrets) if len(secret) >= PART]
    known = masker(*secrets)
    text = "".join(f"{between}{secret}" for secret in secrets for between in around)
    left = known.hide(text)
    assert not [secret for secret in secrets if secret in left and secret not in HIDDEN]


@given(st.text(max_size=200))
def test_nothing_is_hidden_where_nothing_is_known(text):
    assert Masker().hide(text) is text


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=80), st.integers(0, 30))
def test_every_part_with_a_digit_is_hidden(text, at):
    part = KEY[at : at + PART]
    if any(letter.isdigit() for letter in part) and len(part) == PART:
        assert part not in masker(KEY).hide(f"{text}{part}{text}")


@pytest.mark.parametrize("text", ["The part of a key", "my-local-assistants help", "sk-"])
def test_words_that_a_secret_shares_with_a_reply_are_left(text):
    assert masker("my-local-assistant-key", KEY).hide(f"I am the {text} of all.") == (
        f"I am the {text} of all."
    )


@pytest.mark.parametrize(
    "text", ["my-local", '{"a": "my-local"}', "key: my-local...", "my-local**"]
)
def test_a_cut_part_without_digits_is_hidden(text):
    assert HIDDEN in masker("my-local-assistant-key").hide(text)


@pytest.mark.parametrize("word", ["none", "EMPTY", "test", "ollama", "1234"])
def test_a_stand_in_for_a_key_is_no_secret(word):
    assert masker(word).hide(f"stance {word}, {word}") == f"stance {word}, {word}"


def test_a_short_secret_is_hidden_as_a_word():
    assert masker("hunt3r").hide("hunt3r, hunt3rs") == f"{HIDDEN}, hunt3rs"


def test_what_follows_a_scheme_is_secret_by_itself():
    known = masker(f"Bearer {KEY}", "Basic " + base64.b64encode(b"bob:pa55-word-1").decode())
    assert known.hide(f"{KEY} pa55-word-1") == f"{HIDDEN} {HIDDEN}"


def test_json_stays_json():
    known = masker(KEY, 'qu"ote\\and/slash-1')
    body = {"a": [KEY, 'qu"ote\\and/slash-1'], "b": KEY[:-1], html.escape(KEY): 1}
    for ascii_only in (True, False):
        left = json.loads(known.hide_bytes(json.dumps(body, ensure_ascii=ascii_only).encode()))
        assert left == {"a": [HIDDEN, HIDDEN], "b": HIDDEN, HIDDEN: 1}


UNFORESEEN = """
import sys, threading, warnings
from harness.masking import know, watch_errors
know(KEY := sys.argv[1])
watch_errors()
class Odd:
    def __del__(self):
        raise ValueError(KEY)
def fail():
    raise ValueError(KEY)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
Odd()
warnings.warn(KEY)
fail()
"""


def test_what_nobody_foresaw_tells_no_secret():
    """An error of a thread, one that nobody could catch, a warning of a library."""
    program = [sys.executable, "-c", UNFORESEEN, KEY]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count(f"ValueError: {HIDDEN}") == 3
    assert f"UserWarning: {HIDDEN}" in done.stderr and KEY not in done.stderr
