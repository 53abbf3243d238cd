"""What the papers say is what is there."""

from __future__ import annotations

import re
import subprocess

from harness.lab.store import STAND_IN
from tests import ROOT


def test_architecture_names_every_room(root):
    text = (root / "docs/architecture.md").read_text("utf-8")
    for path in (root / "harness").iterdir():
        if path.suffix == ".py" and path.name != "__init__.py":
            assert path.name in text, path.name
        elif path.is_dir() and not path.name.startswith(("_", ".")):
            assert f"`{path.name}/`" in text, path.name


def test_every_dependency_has_its_reason(root):
    import tomllib

    reasons = (root / "docs/decisions.md").read_text("utf-8").lower()
    for requirement in tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"][
        "dependencies"
    ]:
        name = re.split(r"[><=]", requirement)[0]
        if name not in ("numpy", "pyyaml"):
            assert name in reasons, name


def test_no_registry_host_and_no_machine_path_is_committed(root):

    words = re.compile("pypi" + r"\.org|files\.python" + r"hosted|/" + "work/|/" + "root/")
    for name in subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split():
        path = root / name
        if path.is_file() and path.suffix not in (".npz", ".png", ".safetensors"):
            assert not words.search(path.read_text("utf-8")), name


def test_the_readme_says_that_the_lab_is_a_stand_in(root):
    assert "stand-in" in (root / "README.md").read_text("utf-8")
    assert "stand-ins" in STAND_IN


def test_every_command_is_in_the_readme():
    from harness.cli import main

    readme = (ROOT / "README.md").read_text()
    for name, command in main.commands.items():
        assert re.search(rf"truename {name}\b", readme), name
        assert command.help


#: Columns that only count or repeat what is there, by table: they assume nothing.
COUNTED = {
    "samples": "*",
    "overlap": "*",
    "tally": """target role arm probe language measure identity samples hits rate half_from
        checked_n corrected_by questions languages same_repeats failed truncated filtered empty
        unsupported misrouted abstained prompt_tokens_median models_returned fingerprints_returned
        providers_returned note""",
    "comparisons": """comparison probe measure identity target_a arm_a target_b arm_b samples_a
        hits_a rate_a samples_b hits_b rate_b difference cohens_h questions_shared questions_only_a
        questions_only_b permuted by_question""",
    "recitals": """target role arm probe language against against_role against_identity samples
        reciting rate questions longest_run_tokens share_of_reply same_replies one_passage
        others""",
    "inspect-NAME": """question_words system_words turns prompt_tokens_reported
        prompt_tokens_cached prompt_tokens_expected difference""",
    "weights": """tensor component layer shape dtype elements elements_read not_finite a cosine
        residual_share residual_in_rounding free_donor free_base free_residual_in_rounding
        distance_to_base distance_to_donor parents_distance parents_in_rounding note""",
}


def test_every_column_that_says_more_than_was_counted_has_its_assumption(root):
    page = (root / "docs/statistics.md").read_text("utf-8")
    assumed = {}
    for tables, columns in re.findall(r"^\| ([\w, -]+) \| (`.*?`) \| [^|]+ \|$", page, re.M):
        for table in tables.split(", "):
            assumed.setdefault(table, set()).update(re.findall(r"`(\w+)`", columns))
    readme = (root / "results/README.md").read_text("utf-8")
    sections = re.findall(r"^## ([\w-]+)\.csv:.*?\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
    assert {name for name, _ in sections} == COUNTED.keys() == assumed.keys()
    for table, text in sections:
        first = re.findall(r"^\| (`.*?) \|", text, re.M)
        columns = {column for cell in first for column in re.findall(r"`(\w+)`", cell)}
        counted = COUNTED[table].split()
        assert assumed[table] <= columns and not assumed[table] & set(counted), table
        for column in columns - assumed[table]:
            assert column in counted or counted == ["*"], (table, column)
            assert not re.search(r"_low$|_high$|^p_|_p_|_se$|^rank|rarity", column), (table, column)
