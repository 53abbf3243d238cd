"""The report: one file, read in a real browser."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from harness.campaign import load_backstories
from harness.exposure import Inspection, write
from harness.exposure.counts import Account, Counted
from harness.exposure.injected import Injection
from harness.report import page, write_page
from harness.weights import Settings, check
from harness.weights import output as weights
from tests.browser import axe, chromium
from tests.report.cases import CAMPAIGN, run_of

HOSTILE = [
    "<script>window.pwned = 1</script> I am Rio.",
    "</script><img src=x onerror='window.pwned = 2'>",
    "[click](javascript:window.pwned=3) <a href='javascript:window.pwned=4'>here</a>",
    "I am \u202exeN\u202c, said backwards",
    "\x1b[31mI am red\x1b[0m",
    "x" * 1_000_000,
    "{{ 7 * 7 }} {% raw %} <!-- I am Nex.",
    "\u2028 I am Claude. \ud7ff",
]


def written(folder, replies):
    run = run_of(folder, replies)
    write_page(run, CAMPAIGN, folder / "report.html")
    run.engine.dispose()
    return folder / "report.html"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with a clear case, a recital, a failure and hostile replies."""
    text = next(b for b in load_backstories() if b.file == "nex-lab-en.md").text
    replies = {}
    for question in range(12):
        replies["t", "absent", "identity", f"q{question}"] = ["I am Rio."] * 3
        replies["t", "bare", "identity", f"q{question}"] = ["I am Nex, made by Nex-AGI."] * 3
        replies["d", "bare", "identity", f"q{question}"] = ["I am Nex."] * 3
    replies["t", "bare", "backstory", "story"] = [
        text,
        "Before. " + text[:200] + " And after.",
        None,
    ]
    replies["t", "absent", "backstory", "story"] = HOSTILE
    account = Account("hidden", "22 tokens", 22, 20, 24)
    injected = Injection("You are <b>Rio</b>", "always", "", None, [], names=["rio"])
    write(
        Inspection(
            "t",
            ["It <i>injects</i> text."],
            injected,
            account=account,
            counts=[Counted(1, None, 32, 10)],
        ),
        folder := tmp_path_factory.mktemp("report"),
    )
    weights.write(check("lab:suspect", ["lab:donor", "lab:base"], Settings()), folder)
    return written(folder, replies)


def test_the_weights_stand_beside_the_words(report):
    text = report.read_text("utf-8")
    section = text.split('<section aria-labelledby="weights">')[1].split("</section>")[0]
    assert (
        "0.600 lab:donor + 0.400 lab:base, exact to the rounding" in section
        and "<svg" in section
        and "attention" in section
    )
    assert "not who made it" in section and 'href="#weights"' in text


def test_the_page_is_one_file_with_a_strict_policy(report):
    text = report.read_text("utf-8")
    assert (
        "default-src 'none'" in text
        and "unsafe" not in text.split("</head>")[0].split("<style>")[0]
    )
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:|//)", text)
    assert (
        " style=" not in text
        and "onerror=" not in text.replace("onerror=&#39;", "").split('id="data"')[0]
    )
    assert "<i>note</i>" not in text and "&lt;i&gt;note" in text
    assert report.stat().st_size < 15_000_000


def test_large_runs_are_drawn_from_evenly_and_stay_small():
    keeper = page.Keeper(2)
    for number in range(9000):
        row = {
            "target": "t",
            "arm": "bare" if number % 10 else "absent",
            "probe": "identity",
            "trial": f"k{number}",
            "sample": 0,
            "error": None,
            "status": "ok",
            "language": "en",
            "question": "q",
        }
        keeper(
            SimpleNamespace(
                row=row
                | {
                    "messages": '[{"role":"user","content":"?"}]',
                    "text": "<" * 5000,
                    "reasoning": "语" * 5000,
                },
                verdict=None,
                reasoning=None,
                overlap=None,
            )
        )
    said = page.transcripts(keeper)
    assert len(said.encode()) < 12_000_000
    assert said.count('"absent"') == 900 and said.count('"bare"') == 1500
    assert "cut here; 5000 characters" in said


@pytest.fixture(scope="module")
def watched(report):
    """One browser for all tests of this module; what needs another event loop is done before it."""
    with chromium() as found:
        yield found


#: What does not depend on colours is looked at in the dark by `make test-slow` alone.
once = pytest.mark.parametrize(
    "opened", ["light", pytest.param("dark", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(params=["light", "dark"])
def opened(watched, report, request):
    tab = watched(report.as_uri(), request.param)
    tab.wait_for_selector("#transcripts li")
    yield tab
    tab.close()


def test_it_opens_without_errors_and_without_a_request(opened, report):
    assert opened.trouble == [] and opened.requests == [report.as_uri()]
    verdict = opened.locator(".verdict")
    assert (
        "another name comes more often than the claimed one" in verdict.inner_text()
        and "Rio in 0.0 % of replies (0 of 36" in verdict.inner_text()
    )
    picture = opened.locator("figure svg.wide")  # both on the first screen
    assert verdict.bounding_box()["y"] < 300 and picture.bounding_box()["y"] < 700
    assert opened.locator("mark").count() > 5


@once
def test_hostile_replies_show_as_text_and_do_nothing(opened):
    opened.select_option("#filter-probe", "backstory")
    opened.select_option("#filter-arm", "absent")
    said = opened.locator("#transcripts").inner_text()
    assert (
        "<script>window.pwned = 1</script>" in said
        and "<U+202E>" in said
        and "<U+001B>[31m" in said
        and "{{ 7 * 7 }}" in said
    )
    assert "cut here; 1000000 characters" in said
    assert opened.evaluate("window.pwned") is None
    assert opened.locator("a[href^='javascript'], img, iframe, #transcripts script").count() == 0


@once
def test_what_was_inspected_has_a_section(opened):
    section = opened.locator("section[aria-labelledby=hidden]")
    assert (
        "It <i>injects</i> text." in section.inner_text()
        and "You are <b>Rio</b>" in section.inner_text()
    )


@once
def test_search_and_filters_find_and_clear(opened):
    count = opened.locator("#count")
    everything = count.inner_text()
    opened.fill("#search", "workshop harbour")
    assert count.inner_text().startswith("2 of ")
    opened.fill("#search", "")
    opened.select_option("#filter-name", "nex")
    opened.select_option("#filter-target", "d")
    assert count.inner_text().startswith("36 of ")
    assert opened.locator("#transcripts li").count() == 25
    opened.click("#more")
    assert (
        opened.locator("#transcripts li").count() == 36 and not opened.locator("#more").is_visible()
    )
    opened.click("#clear")
    assert count.inner_text() == everything


@once
def test_everything_is_reached_by_the_keyboard(opened):
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = set()
    for _ in range(120):
        opened.keyboard.press("Tab")
        reached.add(opened.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"search", "filter-target", "filter-name", "clear", "more", "SUMMARY", "A"} <= reached


def test_contrast_and_roles_pass_axe(opened):
    assert axe(opened) == []


def test_it_prints(opened):
    opened.emulate_media(media="print")
    assert not opened.locator("nav").is_visible() and opened.locator(".verdict").is_visible()


@once
def test_a_phone_shows_rates_without_scrolling_sideways(opened):
    opened.set_viewport_size({"width": 390, "height": 844})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    chart = opened.locator("figure svg.narrow")
    letters = chart.locator("text").first.bounding_box()["height"]
    assert letters >= 10 and not opened.locator("figure svg.wide").is_visible()
    for cell in opened.locator("table.cards").first.locator("td:not(:empty)").all():
        box = cell.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert opened.locator("table.cards td[data-name=Rio]").first.is_visible()
    opened.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.locator("table.heat.cards td[data-name='t bare']").first.is_visible()
    for box in opened.locator(".scroll").all():  # heat maps, weights and failures too
        inside = box.evaluate("e => e.scrollWidth - e.clientWidth")
        assert inside <= 0, box.get_attribute("aria-label")
    opened.set_viewport_size({"width": 1280, "height": 720})
    assert opened.locator("figure svg.wide").is_visible() and not chart.is_visible()
