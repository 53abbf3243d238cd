"""YAML of strangers is read within bounds."""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import Path

import pytest

from harness.audits.config import Audit
from harness.campaign import Campaign, from_text, parse, validate
from harness.campaign.yamlfiles import _models_in
from harness.errors import CampaignError, TruenameError
from tests.campaign.good import GOOD

NINE = ", ".join


def bomb(levels):
    """A few lines that stand for 9 ** levels values."""
    lines = ["a0: &a0 [" + NINE(["x"] * 9) + "]"]
    lines += [f"a{n}: &a{n} [{NINE([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bomb(12), "its aliases stand for more than"),
        (bomb(12).replace("[", "{k: [").replace("]", "]}"), "its aliases stand for more than"),
        ("a: &a [*a]\n", "lists and mappings stand in each other"),
        ("a: " + "[" * 70 + "]" * 70, "lists and mappings stand in each other"),
        ("a: " + "[" * 100_000, "not valid YAML"),
        ("a: " + "x" * 2_000_001, "letters"),
    ],
)
def test_few_letters_that_stand_for_too_much_are_refused(text, said):
    with pytest.raises(CampaignError, match=said):
        parse(text, "strange.yaml", CampaignError)


def test_aliases_of_people_are_read():
    text = "base: &base {engine: embedded, n: 1}\ntargets: [*base, {also: *base}]\n"
    assert parse(text, "own.yaml", CampaignError)["targets"] == [
        {"engine": "embedded", "n": 1},
        {"also": {"engine": "embedded", "n": 1}},
    ]
    assert len(parse(bomb(3), "own.yaml", CampaignError)["a2"]) == 9


#: What users never typed: words of the library that checks the files.
LIBRARY = re.compile(
    r"Input should|valid (integer|number|string|dictionary|list)|constrained|dict\[|tagged-union"
    r"|discriminator|literal\[|function-|pydantic|model_type|\bNone\b|instance of"
)
KINDS = ("x", 1.5, -7, True, None, [], {}, [1], {"a": 1}, [{}], {"engine": "lama"}, "9" * 40)


def fields(model, where=()):
    """The way to every key of a model, through lists and mappings of models too."""
    for name, field in model.model_fields.items():
        yield (*where, name)
        for inner in _models_in(field.annotation):
            yield from fields(inner, (*where, name))


@pytest.mark.parametrize("model", [Campaign, Audit], ids=lambda model: model.__name__)
def test_no_message_speaks_the_language_of_the_library(model):
    """Every key of the file with values of every kind: what is said names keys and plain kinds."""
    good = {
        "Campaign": parse(GOOD, "x", CampaignError),
        "Audit": {"audit": "a", "campaign": "c", "schedule": {"cron": "0 * * * *"}},
    }[model.__name__]
    refused = 0
    for way in fields(model):
        for value in KINDS:
            whole = copy.deepcopy(good)
            here = whole
            for key, _ in itertools.pairwise(way):
                inner = {"engine": "endpoint", "name": "t", "role": "base", "model": "m"}
                kept = {"targets": [inner], "notify": [{"kind": "webhook"}]}.get(key)
                if kept is not None:
                    here[key] = kept
                    here = here[key][0]
                else:
                    here = (
                        here.setdefault(key, {})
                        if isinstance(here.get(key), dict)
                        else (here.update({key: {}}) or here[key])
                    )
            here[way[-1]] = value
            try:
                validate(model, whole, "file.yaml", CampaignError)
            except CampaignError as problem:
                refused += 1
                found = LIBRARY.search(re.sub(r"\(found: .*", "", problem.what))
                assert found is None, f"{way} = {value!r}: {problem.what}"
    assert refused > 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("samples: 1", "samples: many"),
            "'samples': should be a whole number (found: 'many') or should be keys with values",
        ),
        (("samples: 1", "samples: {identity: x}"), "'samples.identity': should be a whole number"),
        (
            ("engine: embedded", "engine: lama"),
            "'targets.0': the key 'engine' should be one of 'embedded', 'vllm', 'endpoint', "
            "'responses', 'anthropic', 'gemini', 'ollama', 'bedrock' (found",
        ),
        (("languages: [en]", "languages: en"), "'languages': should be a list (found: 'en')"),
    ],
)
def test_kinds_of_values_are_told_in_plain_words(change, said):
    with pytest.raises(CampaignError) as caught:
        from_text(GOOD.replace(*change), "my.yaml", Path())
    assert said in str(caught.value)


def test_of_many_known_words_three_are_suggested():
    with pytest.raises(TruenameError) as caught:
        from_text(GOOD + "claim: {target: s, identity: xyzzyq}\n", "my.yaml", Path())
    said = str(caught.value).splitlines()[0]
    assert re.fullmatch(
        r"'xyzzyq' is not in the identity book: the nearest of \d+ are \S+, \S+, \S+", said
    )


def test_an_alias_is_no_unknown_identity_but_a_way_to_write_one():
    with pytest.raises(TruenameError, match="did you mean 'qwen'"):
        from_text(GOOD + "claim: {target: s, identity: 通义千问}\n", "my.yaml", Path())
