"""What a campaign may say, and the exact words with which everything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.campaign import campaign, plan
from harness.campaign.identities import load_backstories, load_book
from harness.errors import TruenameError

GOOD = """
campaign: small
targets:
  - {name: s, role: suspect, engine: embedded, model: "lab:suspect"}
arms: [absent]
probes: [identity]
languages: [en]
samples: 1
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("arms: [absent]", "arm: [absent]"), "unknown key 'arm': did you mean 'arms'?"),
        (("model:", "modle:"), "unknown key 'targets.0.embedded.modle': did you mean 'model'?"),
        (("samples: 1", "samples: 0"), "the campaign has no samples: give 'samples: 1' or more"),
        (("samples: 1", "samples: {identity: 0}"), "the campaign has no samples"),
        (
            ("samples: 1", "samples: {identit: 3}"),
            "samples names no probe of this campaign: 'identit': did you mean 'identity'?",
        ),
        (("arms: [absent]", "arms: [abscent]"), "unknown arm 'abscent': did you mean 'absent'?"),
        (("arms: [absent]", "arms: [given]"), "the arm 'given' names a system prompt"),
        (("arms: [absent]", "arms: [bare, bare]"), "stands twice: bare"),
        (("role: suspect", "role: suspekt"), "'targets.0.embedded.role'"),
        (("engine: embedded", "engine: lama"), "'targets.0'"),
        (
            ("campaign: small", "campaign: small\nclaim: {target: t, identity: rio}"),
            "claim.target 't' is no target of this campaign",
        ),
        (
            ("campaign: small", "campaign: small\nclaim: {target: s, identity: roi}"),
            "'roi' is not in the identity book: did you mean 'rio'?",
        ),
        (("samples: 1", "samples: 1\nsamples: 2"), "the key 'samples' stands twice"),
        (("languages: [en]", "languages: [en"), "not valid YAML"),
        (("samples: 1", "sampling: {temperature: hot}"), "'sampling.temperature'"),
    ],
)
def test_bad_campaigns_are_refused_with_the_reason(change, said):
    assert change[0] in GOOD
    with pytest.raises(TruenameError) as caught:
        campaign.from_text(GOOD.replace(*change), "my.yaml", Path())
    assert said in str(caught.value)
    assert "my.yaml" in str(caught.value)
    assert "next:" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("languages: [en]", "languages: [xx]"), "there is no such prompt file"),
        (
            ("probes: [identity]", "probes: [identiti]"),
            "there is no probe 'identiti': did you mean 'identity'?",
        ),
        (("arms: [absent]", "arms: ['given:system/nmed.j2']"), "there is no such prompt file"),
        (
            ("arms: [absent]", "arms: ['given:system/named.j2']"),
            "needs a variable that was not given: 'name' is undefined",
        ),
    ],
)
def test_bad_prompts_are_found_before_anything_is_sampled(change, said):
    with pytest.raises(TruenameError) as caught:
        list(plan.trials(campaign.from_text(GOOD.replace(*change), "my.yaml", Path())))
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["rio-lab", "smollm2", "local-vllm", "hosted"])
def test_shipped_campaigns_plan(name):
    loaded = campaign.load(name)
    plans = plan.worst_case(loaded)
    trials = list(plan.trials(loaded))
    assert sum(p.trials for p in plans) == len(trials) == len({t.key for t in trials})


def test_worst_case_counts_money_from_the_price():
    source = GOOD.replace(
        'engine: embedded, model: "lab:suspect"',
        "engine: endpoint, base_url: 'http://127.0.0.1:1/v1', model: m, price: {prompt: 1, completion: 2}",
    )
    (only,) = plan.worst_case(campaign.from_text(source, "my.yaml", Path()))
    assert only.requests == 15
    assert only.completion_tokens == 15 * 512
    assert only.money == pytest.approx((only.prompt_tokens + 2 * only.completion_tokens) / 1e6)


def test_trial_keys_change_with_what_is_asked_and_with_nothing_else():
    def keys(source):
        return [t.key for t in plan.trials(campaign.from_text(source, "my.yaml", Path()))]

    assert keys(GOOD) == keys(GOOD.replace("samples: 1", "samples: 9"))
    assert not set(keys(GOOD)) & set(keys(GOOD + "sampling: {temperature: 0.5}"))
    assert not set(keys(GOOD)) & set(keys(GOOD.replace("[absent]", "[empty]")))


def test_sample_seeds_differ_and_repeat():
    seeds = [plan.sample_seed(1, "k", i) for i in range(50)]
    assert len(set(seeds)) == 50
    assert seeds == [plan.sample_seed(1, "k", i) for i in range(50)]
    assert plan.sample_seed(None, "k", 0) is None


def test_the_book_holds_sixty_families_with_transliterations():
    book = load_book()
    real = [f for f in book.families.values() if not f.fictional]
    assert len(real) >= 60
    for script, low, high in (
        ("Han", "一", "鿿"),
        ("Kana", "ァ", "ヺ"),
        ("Hangul", "가", "힣"),
        ("Cyrillic", "А", "я"),
        ("Arabic", "ء", "ي"),
    ):
        having = [f.id for f in real if any(low <= c <= high for alias in f.aliases for c in alias)]
        assert len(having) >= 15, f"{script}: {having}"
    assert [f.id for f in real if f.homograph] and [f.id for f in real if f.built_on]


def test_backstories_name_their_source():
    stories = load_backstories()
    assert {b.identity for b in stories if b.stand_in} == {"nex", "qwen", "tavira"}
    assert [b for b in stories if not b.stand_in]
    assert all(b.source for b in stories)
