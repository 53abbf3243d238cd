"""The word lists: a file a language, each list named where it is explained."""

from __future__ import annotations

import re

from harness.scoring import digest, lists
from harness.scoring.concepts import CONCEPTS
from tests.scoring.test_classifier import LANGUAGES


def test_every_language_has_its_words_and_every_list_is_explained():
    assert {path.stem for path in lists.FOLDER.glob("*.yaml")} == LANGUAGES
    table = re.findall(r"^\| (`.*?) \|", (lists.FOLDER / "README.md").read_text("utf-8"), re.M)
    explained = {name for cell in table for name in re.findall("`(.+?)`", cell)}
    assert {key for language in lists._languages() for key in language} == explained


def test_every_language_says_what_words_are_about():
    for language in lists._languages():
        assert {*language.get("concepts", {}), *language.get("characters", {})} == set(CONCEPTS)


def test_lists_are_a_part_of_the_scorer():
    """Else verdicts of old words would be taken for those of new ones."""
    assert {*lists.FOLDER.glob("*.yaml")} < {*digest._own()}
