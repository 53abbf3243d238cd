"""`truename tokenizer`: counts of nine strings, of files and of hosts, honest or not."""

from __future__ import annotations

import itertools
import json

import pytest

from harness.exposure.tokenizers import Known, added, counted, judge, message, table
from harness.lab import export
from harness.targets import counter
from tests.commands import truename
from tests.openai_server import chat


def test_distinct_tokenizers_differ_in_three_strings_and_each_is_known_as_itself():
    assert len(table().strings) == 9
    rows = {one.counts for one in table().known}
    assert all(sum(map(int.__ne__, a, b)) >= 3 for a, b in itertools.combinations(sorted(rows), 2))
    for one in table().known:
        found = judge([40, 40], [40 + n for n in one.counts], table().known)
        assert found.finding == "counts as" and one.name in found.alike
        assert {*found.alike, *found.excluded} == {known.name for known in table().known}
        assert all(k.source.split()[1][0].isdigit() for k in table().known)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export("suspect", "hf", tmp_path_factory.mktemp("lab") / "lab-suspect")


def host(count, usage):
    """Bills by a tokenizer, with a hidden prompt of 30 tokens; ``usage`` makes what it tells."""

    def answer(path, body, number):
        if "messages" not in body:
            return (404, {}, b"{}")
        tokens = 30 + sum(count(m["content"]) for m in body["messages"])
        told = usage(tokens, body["messages"][-1]["content"], number)
        return chat("yes", usage={"completion_tokens": 1, "total_tokens": tokens + 1} | told)

    return answer


def ask(serve, folder, usage, *more):
    url = serve(host(counter(folder), usage)).url
    return truename("tokenizer", url, "--model", "m", "--json", *more)


def test_a_host_counts_as_the_users_own_tokenizer_does_behind_a_hidden_prompt(serve, folder):
    usage = lambda tokens, *_: {"prompt_tokens": tokens}  # noqa: E731
    done = ask(serve, folder, usage, "--add", folder)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["alike"] == ["lab-suspect"] and len(said["excluded"]) == len(table().known)
    assert said["counts"] == list(counted(counter(folder)))
    without = json.loads(ask(serve, folder, usage).stdout)
    assert without["finding"] == "none of these" and "nearest" not in without["sentence"]


@pytest.mark.parametrize(
    "usage, finding, words",
    [
        (lambda n, text, at: {"prompt_tokens": 0}, "nonsense", "no tokens"),
        (lambda n, text, at: {"prompt_tokens": 9}, "nonsense", "the same count"),
        (lambda n, text, at: {"prompt_tokens": n + 7 * at}, "nonsense", "for the same prompt"),
        (lambda n, text, at: {"prompt_tokens": 5 + len(text)}, "nonsense", "counts characters"),
        (
            lambda n, text, at: {"prompt_tokens": 5 + len(text.encode()) // 4},
            "nonsense",
            "a quarter of the bytes",
        ),
        (lambda n, text, at: {"prompt_tokens": None}, "not known", "reports no prompt tokens"),
    ],
)
def test_counts_that_say_nothing_are_recognised(usage, finding, words, serve, folder):
    done = ask(serve, folder, usage, "--add", folder)
    assert done.exit_code == 3, done.output
    said = json.loads(done.stdout)
    assert said["finding"] == finding and words in said["sentence"] and not said["alike"]


def test_cached_tokens_that_are_told_are_added_again(serve, folder):
    def usage(tokens, _, number):
        cached = (tokens - 2) * (number % 2)  # left out of the prompt's where it is told
        details = {"cached_tokens": cached}
        return {"prompt_tokens": tokens - cached, "prompt_tokens_details": details}

    said = json.loads(ask(serve, folder, usage, "--add", folder).stdout)
    assert said["alike"] == ["lab-suspect"], said


def test_a_host_that_rounds_leaves_those_that_fit():
    own = table().known[0]
    rounded = [-(-(40 + n) // 4) * 4 for n in own.counts]
    found = judge([40, 40], rounded, table().known)
    assert own.name in found.alike and "rounds its counts to 4" in found.sentence
    coarse = judge([64, 64], [64 + 64 * (n > 60) for n in own.counts], table().known)
    assert coarse.finding == "not known" and len(coarse.alike) > 1 and coarse.unknown


def test_files_are_compared_too_and_a_folder_without_a_tokenizer_is_told(folder, tmp_path):
    done = truename("tokenizer", folder, "--add", folder / "tokenizer.json")
    assert done.exit_code == 0 and "counts as lab-suspect does; " in done.output, done.output
    embedded = truename("tokenizer", "lab:suspect", "--add", folder)
    assert "counts as lab-suspect does; " in embedded.output, embedded.output
    none = truename("tokenizer", tmp_path)
    assert none.exit_code == 2 and "next:" in none.output


def test_one_string_more_or_less_is_not_the_same_tokenizer(folder):
    own = added(folder)
    near = Known("near", "made", (own.counts[0] + 1, *own.counts[1:]))
    found = judge([10], [10 + n for n in own.counts], [near])
    assert found.finding == "none of these" and "differs in 1 of 9" in found.sentence
    assert message("x").count("\n") == message().count("\n") + 1
