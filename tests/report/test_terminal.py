"""What a terminal shows."""

from __future__ import annotations

import io

from rich.console import Console

from harness.console import plain
from harness.counting.tally import tally
from harness.report import show_bars, show_rates
from tests.report.cases import CAMPAIGN, run_of


def test_the_terminal_shows_the_story_in_eighty_columns(tmp_path):
    said = {"absent": "I am Rio.", "bare": "I am [red]Zorbly\x1b[31m, by Acme AI."}
    run = run_of(
        tmp_path,
        {
            ("t", arm, "identity", f"q{number}"): [text] * 4
            for number in range(9)
            for arm, text in said.items()
        },
    )
    tables = tally(run.journal, CAMPAIGN, tmp_path)
    out = io.StringIO()
    show_bars(Console(width=80, file=out, force_terminal=False), tables, CAMPAIGN, ["note"])
    run.engine.dispose()
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "\x1b" not in out.getvalue()
    assert "100.0 (66-100)" in out.getvalue() and "████" in out.getvalue()


def test_the_claimed_identity_has_a_column_even_at_zero(tmp_path):
    names = ("Nex", "Qwen", "Kimi", "Claude", "Gemini", "Grok")
    said = [f"I am {name}." for name in names]
    run = run_of(tmp_path, {("t", "absent", "identity", "q"): said})
    console = Console(width=130, record=True, file=io.StringIO())
    show_rates(console, tally(run.journal, CAMPAIGN, tmp_path), CAMPAIGN, [])
    run.engine.dispose()
    head = next(line for line in console.export_text().splitlines() if line.startswith("target"))
    assert head.split()[4] == "Rio" and "…" not in head


def test_terminal_escapes_show_as_text():
    assert plain("\x1b[31mred\u202e") == "<U+001B>[31mred<U+202E>"


def test_where_not_all_identities_fit_each_row_says_what_was_given_most(tmp_path):
    names = ("Nex", "Qwen", "Kimi", "Claude", "Gemini", "Grok")
    run = run_of(
        tmp_path,
        {("t", "bare", "identity", f"q{at}"): ["I am Grok."] * 2 for at in range(3)}
        | {
            ("t", "absent", "identity", f"q{at}"): [f"I am {name}."] * (1 + (name == "Gemini"))
            for at, name in enumerate(names)
        },
    )
    tables = tally(run.journal, CAMPAIGN, tmp_path)
    run.engine.dispose()
    shown = {}
    for width in (80, 40):
        console = Console(width=width, file=(out := io.StringIO()))
        show_rates(console, tables, CAMPAIGN, [])
        shown[width] = out.getvalue()
        assert "…" not in shown[width] and max(map(len, shown[width].splitlines())) <= width
    head = next(line for line in shown[80].splitlines() if line.startswith("target"))
    assert head.split() == ["target", "arm", "tokens", "scored", "Rio", "given", "most"]
    assert "Gemini 28.6" in shown[80] and "Grok 100.0" in shown[40]
