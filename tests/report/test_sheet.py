"""The page to read replies on: one file, read by keyboard in a real browser, saved and taken in."""

from __future__ import annotations

import re

import pytest

from harness import counting
from harness.journal import campaign_of, find_run
from harness.report import write_sheet
from tests.browser import axe, chromium
from tests.made_runs import make

HOSTILE = (
    "</script><script>window.pwned = 1</script> <img src=x onerror='window.pwned = 2'> "
    "\u202exeN ma I\x1b[31m {{ 7 * 7 }}"
)


def said(trial, number):
    return HOSTILE if trial.arm.kind == "bare" else "I am Rio."


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, its plan of eight replies, and the page to read them on."""
    folder = tmp_path_factory.mktemp("sheet")
    make(folder, "r", said)
    run = find_run("r", folder, None)
    drawn = counting.drawn_for(run, campaign_of(run), 8, None)
    write_sheet(run, drawn, None, folder / "sheet.html")
    yield run, drawn, folder / "sheet.html"
    run.journal.engine.dispose()


@pytest.fixture(scope="module")
def watched(made):
    with chromium() as found:
        yield found


@pytest.fixture
def opened(watched, made):
    tab = watched(made[2].as_uri())
    tab.evaluate("localStorage.clear()")
    tab.reload()
    yield tab
    tab.close()


def test_the_page_is_one_file_with_a_strict_policy_and_no_verdict(made):
    text = made[2].read_text("utf-8")
    assert "default-src 'none'" in text and "unsafe" not in text.split("<style>")[0]
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:|//)", text)
    data = text.split('id="data">')[1].split("</script>")[0]
    assert "stance" not in data and "claims rio" not in text and "window.pwned = 1</" not in text


def test_it_opens_without_errors_and_without_a_request(opened, made):
    assert opened.trouble == [] and set(opened.requests) == {made[2].as_uri()}
    assert "Reply 1 of 8, 0 answered." in opened.inner_text("#place")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_roles_pass_axe(watched, made, scheme):
    tab = watched(made[2].as_uri(), scheme)
    tab.check("input[value=claims]")
    tab.click("#next")  # with the complaint that nobody is said to read
    assert "Say who reads." in tab.inner_text("#wrong") and axe(tab) == []
    tab.close()


def test_hostile_replies_are_text(opened):
    seen = set()
    for _ in range(8):
        seen.add(opened.inner_text("#reply"))
        opened.keyboard.press("Alt+ArrowRight")
    hostile = next(text for text in seen if "pwned" in text)
    assert "<script>window.pwned = 1</script>" in hostile and "<U+202E>" in hostile
    assert opened.evaluate("window.pwned") is None and opened.trouble == []
    assert opened.locator("#reply *, img").count() == 0


def read_by_keyboard(tab, who):
    """Answer each reply with the keys alone; leaves the focus at the button that saves."""
    tab.focus("#labeller")
    tab.keyboard.type(who)
    tab.focus("#reading")
    for _ in range(8):
        if "Rio" in tab.inner_text("#reply"):
            tab.keyboard.press("1")
            tab.keyboard.type("Rio, Emily Carter")
        else:
            tab.keyboard.press("2")
            tab.keyboard.type("Claude")
        tab.keyboard.press("Enter")


def test_it_is_read_by_keyboard_saved_and_taken_into_the_run(opened, made):
    run, drawn, _ = made
    read_by_keyboard(opened, "ana")
    assert "8 answered: save the file" in opened.inner_text("#place")
    with opened.expect_download() as saved:
        opened.keyboard.press("Enter")
    path = run.folder / saved.value.suggested_filename
    assert path.name == "r-labels-ana.jsonl"
    saved.value.save_as(path)
    assert counting.add_labels(run.folder, drawn, path) == 8
    kept = counting.labels.read_labels(run.folder)
    assert {x.labeller for x in kept} == {"ana"} and len(kept) == 8
    assert {(x.stance, *x.names, *x.denied) for x in kept} == {
        ("claims", "rio", "other:emily carter"),
        ("denies", "claude"),
    }
    write_sheet(run, drawn, "ana", run.folder / "rest.html")
    assert "0 replies to read" in (run.folder / "rest.html").read_text("utf-8")


def test_answers_stay_when_the_page_is_closed_and_can_be_changed(opened):
    opened.fill("#labeller", "ben")
    opened.keyboard.press("Tab")
    opened.focus("#reading")
    opened.keyboard.press("4")
    opened.keyboard.press("Enter")
    opened.reload()
    assert "Reply 2 of 8, 1 answered." in opened.inner_text("#place")
    opened.keyboard.press("Alt+ArrowLeft")
    assert opened.is_checked("input[value=none]") and not opened.is_visible("#names")
    assert opened.input_value("#labeller") == "ben"
    opened.fill("#labeller", "eva")
    opened.keyboard.press("Tab")
    assert "Reply 1 of 8, 0 answered." in opened.inner_text("#place")
    assert not opened.is_checked("input[value=none]")  # nobody is shown what another answered


def test_what_does_not_fit_together_is_said_and_not_kept(opened):
    opened.fill("#labeller", "ana")
    for key, complaint in (("1", "names a name"), ("2", "what it denies")):
        opened.focus("#reading")
        opened.keyboard.press(key)
        opened.keyboard.press("Enter")
        assert complaint in opened.inner_text("#wrong")
    opened.click("#save")
    assert "Nothing is answered yet." in opened.inner_text("#wrong")
    assert "0 answered" in opened.inner_text("#place")


def test_a_page_without_replies_says_so(watched, made):
    run, drawn, _ = made
    path = run.folder / "empty.html"
    write_sheet(run, counting.Draw(drawn.format, 1, 0, [], []), None, path)
    tab = watched(path.as_uri())
    assert "Nothing is left to read." in tab.inner_text("#place") and tab.trouble == []
    tab.close()
