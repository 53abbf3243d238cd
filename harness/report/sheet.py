"""A page to read a run's drawn replies on: one HTML file, offline, that saves a file of labels.

It holds questions, arms and replies, and no verdict. What a model said is text to it: escaped here,
set as text by its script, with control and direction characters shown as code points.
"""

from __future__ import annotations

from pathlib import Path

from harness.console import plain
from harness.counting import LABELLED, NAMED_BY, Draw, choices, to_read
from harness.journal import Run
from harness.report.page import asset, page_templates, policy
from harness.report.rows import short_arm
from harness.report.transcripts import embedded
from harness.tables import write_bytes


def write_sheet(run: Run, drawn: Draw, labeller: str | None, to: Path) -> None:
    """Write the page; with a labeller, of what this one has not read yet.

    Raises
    ------
    RunError
        The run no longer holds a drawn reply, or the disk refuses.
    """
    replies = [
        [one.sample, one.sha256, plain(one.question), short_arm(one.arm), plain(one.text)]
        for one in to_read(run, drawn, labeller)
    ]
    # the seed keeps what is kept in the browser apart from another draw's
    about = {"run": run.name, "draw": f"{drawn.seed}-{drawn.replies}", "parts": NAMED_BY}
    script, style = asset("sheet.js"), asset("page.css") + asset("sheet.css")
    page = page_templates().get_template("sheet.html.j2")
    said = page.render(
        run=run.name,
        count=len(replies),
        labeller=labeller or "",
        parts={part: choices(kind) for part, kind in LABELLED.items()},
        data=embedded({**about, "replies": replies}),
        style=style,
        script=script,
        policy=policy(style, script),
    )
    write_bytes(said.encode("utf-8", "replace"), to)
