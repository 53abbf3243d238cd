"""Who is found to be recited: power by edited words, and formulas that unrelated texts share.

`python benchmarks/recitals.py [CAMPAIGNS]`

- Single replies: the published texts of makers, each with a share of its words exchanged for other
  words; how many have a rarity over that from which a reply recites.
- Campaigns: a suspect, a donor, a base and a control answer 24 questions twice. The suspect says
  what the donor says, with edited words, or something of its own; or all that it shares with the
  donor is a farewell. How many stories say that the donor is recited?
"""

from __future__ import annotations

import random
import sys

from harness.campaign import Campaign, load_backstories
from harness.counting.between import RECITES, Between
from harness.counting.scored import Scored
from harness.report.recited import recited_sentences
from harness.scoring import Reference, References, words

CAMPAIGNS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
ROLES = ("suspect", "donor", "base", "control")
TARGETS = [{"name": r, "role": r, "engine": "embedded", "model": "lab:base"} for r in ROLES]
CAMPAIGN = Campaign.model_validate(
    {"campaign": "c", "targets": TARGETS, "arms": ["bare"], "probes": ["backstory"]}
)
FAREWELLS = (
    "Whatever brought you to my doorstep today, sit down, pour yourself some tea and tell me.",
    "Should any of this leave you puzzled, knock twice and I shall gladly go over it anew.",
    "Here is to every riddle we are going to untangle side by side, one cup after another!",
)
rng = random.Random(20261127)
TEXTS = [one for one in load_backstories() if one.file.endswith("-en.md")]
POOL = sorted({word for one in TEXTS for word in words(one.text)})
INVENTED = [f"{a}{b}{c}" for a in ("bra", "ko", "tel") for b in ("mi", "su", "van") for c in "aeo"]


def edited(text: str, share: float) -> str:
    """A text with a share of its words exchanged for words of any of the texts."""
    return " ".join(rng.choice(POOL) if rng.random() < share else w for w in text.split())


def own() -> str:
    """Words in an order that no other reply has."""
    return " ".join(rng.choices(POOL + INVENTED, k=60))


def told(say: dict[str, list[str]]) -> str:
    """What the story says where each target's replies are these, two to a question."""
    shown = Between(CAMPAIGN)
    for target, texts in say.items():
        for number, text in enumerate(texts):
            row = {"target": target, "arm": "bare", "probe": "backstory", "language": "en"}
            row |= {"question": f"q{number // 2}", "sample": number % 2, "status": "ok"}
            row |= {"trial": f"{target}{number // 2}", "text": text}
            shown.add([Scored(row, None, None, None)])
    return " ".join(recited_sentences(shown.frame(), CAMPAIGN))


def campaign(kind: str) -> str:
    said = {role: [own() for _ in range(48)] for role in ROLES}
    if kind.endswith("%"):
        source, share = rng.choice(TEXTS).text, int(kind.split()[0]) / 100
        said["donor"] = [edited(source, 0.05) for _ in range(48)]
        said["suspect"] = [edited(source, share) for _ in range(48)]
    elif kind != "nothing":
        farewell = rng.choice(FAREWELLS)
        for role in kind.split(", "):
            said[role] = [f"{text} {farewell}" for text in said[role]]
    return told(said)


print(f"rarity over {RECITES:g} in a reply, by the share of its words that is edited")
for percent in (0, 5, 10, 20, 30, 40):
    overlaps = [
        References([Reference(t.identity, t.file, t.text)]).compare(edited(t.text, percent / 100))
        for t in TEXTS
        for _ in range(10)
    ]
    held = [one.rarity > RECITES for one in overlaps]
    print(f"  {percent:>3} %{sum(held) / len(held):>8.2f} of {len(held)}", flush=True)

print(f"campaigns in which the story says that the donor is recited more, of {CAMPAIGNS}")
KINDS = {
    **{f"{percent} % of its words edited": f"{percent} %" for percent in (5, 10, 20, 30)},
    "nothing in common": "nothing",
    "a farewell in common": "suspect, donor",
    "a farewell in common, and with the control": "suspect, donor, control",
}
for what, kind in KINDS.items():
    found = sum("So the donor is recited more" in campaign(kind) for _ in range(CAMPAIGNS))
    print(f"  {what:44}{found:>4}", flush=True)
