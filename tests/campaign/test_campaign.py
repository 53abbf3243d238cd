"""What a campaign may say, and the exact words with which everything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.campaign import from_text
from harness.errors import TruenameError
from tests.campaign.good import GOOD
from tests.commands import truename


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("arms: [absent]", "arm: [absent]"), "unknown key 'arm': did you mean 'arms'?"),
        (("model:", "modle:"), "unknown key 'targets.0.modle': did you mean 'model'?"),
        (("samples: 1", "samples: 0"), "the campaign has no samples: give 'samples: 1' or more"),
        (("samples: 1", "samples: {identity: 0}"), "the campaign has no samples"),
        (
            ("samples: 1", "samples: {identit: 3}"),
            "samples names no probe of this campaign: 'identit': did you mean 'identity'?",
        ),
        (("arms: [absent]", "arms: [abscent]"), "unknown arm 'abscent': did you mean 'absent'?"),
        (("arms: [absent]", "arms: [given]"), "the arm 'given' names a system prompt"),
        (("arms: [absent]", "arms: [bare, bare]"), "stands twice: bare"),
        (("role: suspect", "role: suspekt"), "'targets.0.role'"),
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
        from_text(GOOD.replace(*change), "my.yaml", Path())
    assert said in str(caught.value)
    assert "my.yaml" in str(caught.value)
    assert "next:" in str(caught.value)


def test_a_campaign_comes_from_standard_input(tmp_path):
    whole = truename("plan", "-", folder=tmp_path, said=GOOD.encode("utf-16"))
    assert whole.exit_code == 0 and "small: worst case" in whole.output
    for said, problem in (
        (b"\xff\xfe\x00", "standard input is no"),
        (b"a: [", "where: standard input, line"),
        (b"", "the file holds no keys"),
        (GOOD.replace("samples: 1", "sampels: 1").encode(), "did you mean 'samples'?"),
    ):
        done = truename("plan", "-", folder=tmp_path, said=said)
        assert done.exit_code == 2 and problem in done.stderr and "next:" in done.stderr
