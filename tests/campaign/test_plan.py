"""From a campaign to its trials: planned whole, counted at the worst, keyed by what is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.campaign import from_text, load_campaign, plan
from harness.errors import TruenameError
from tests.campaign.good import GOOD


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
        list(plan.trials(from_text(GOOD.replace(*change), "my.yaml", Path())))
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["rio-lab", "smollm2", "local-vllm", "hosted"])
def test_shipped_campaigns_plan(name):
    loaded = load_campaign(name)
    plans = plan.worst_case(loaded)
    trials = list(plan.trials(loaded))
    assert sum(p.trials for p in plans) == len(trials) == len({t.key for t in trials})


def test_worst_case_counts_money_from_the_price():
    source = GOOD.replace(
        'engine: embedded, model: "lab:suspect"',
        "engine: endpoint, base_url: 'http://127.0.0.1:1/v1', model: m, "
        "price: {prompt: 1, completion: 2}",
    )
    (only,) = plan.worst_case(from_text(source, "my.yaml", Path()))
    assert only.requests == 15
    assert only.completion_tokens == 15 * 512
    assert only.money == pytest.approx((only.prompt_tokens + 2 * only.completion_tokens) / 1e6)


def test_trial_keys_change_with_what_is_asked_and_with_nothing_else():
    def keys(source):
        return [t.key for t in plan.trials(from_text(source, "my.yaml", Path()))]

    assert keys(GOOD) == keys(GOOD.replace("samples: 1", "samples: 9"))
    assert not set(keys(GOOD)) & set(keys(GOOD + "sampling: {temperature: 0.5}"))
    assert not set(keys(GOOD)) & set(keys(GOOD.replace("[absent]", "[empty]")))


def test_sample_seeds_differ_and_repeat():
    seeds = [plan.sample_seed(1, "k", i) for i in range(50)]
    assert len(set(seeds)) == 50
    assert seeds == [plan.sample_seed(1, "k", i) for i in range(50)]
    assert plan.sample_seed(None, "k", 0) is None
