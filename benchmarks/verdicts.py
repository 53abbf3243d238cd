"""Verdicts a second on replies of 60 words, as a ratio to peers in the same run.

Also how long the models take to load. Peers: splitting the replies into words (what the machine
can do); finding the book's names with one alternation in `re` (what the market's tools do,
without deciding any role), and scikit-learn's HashingVectorizer with logistic regression over
whole replies (words).
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections.abc import Callable

from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from harness.campaign.identities import load_book
from harness.scoring.learning import sentences
from harness.scoring.marks import MARKS
from harness.scoring.scorer import verdicts

REPLIES, WORDS = 20_000, 60


def replies(seed: int) -> list[str]:
    """Replies of 60 words: a written sentence with names of the book, padded.

    The padding are sentences that say nothing of the speaker.
    """
    rng = random.Random(seed)
    names = [f.aliases[0] for f in load_book().families.values()]
    written = [s for s in sentences.sentences() if s.language == "en"]
    said, padding = [s.text for s in written if s.roles], [s.text for s in written if not s.roles]
    made = []
    for _ in range(REPLIES):
        words = "".join(rng.choice(names) if c in MARKS else c for c in rng.choice(said)).split()
        while len(words) < WORDS:
            words += rng.choice(padding).split()
        made.append(" ".join(words[:WORDS]))
    return made


def rate(work: Callable[[], object]) -> float:
    """Best of three, replies a second."""
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        work()
        best = max(best, REPLIES / (time.perf_counter() - began))
    return best


texts = replies(1)
list(verdicts(texts[:10]))
ours = rate(lambda: list(verdicts(texts)))
split = rate(lambda: [t.split() for t in texts])
aliases = [
    alias
    for family in load_book().families.values()
    for alias in sorted(family.aliases, key=len, reverse=True)
]
names = re.compile("|".join(rf"\b{re.escape(alias.lower())}\b" for alias in aliases))
grep = rate(lambda: [names.findall(t.lower()) for t in texts])
hashing, model = HashingVectorizer(n_features=2**18), LogisticRegression()
model.fit(hashing.transform(texts[:500]), [i % 2 for i in range(500)])
whole = rate(lambda: model.predict(hashing.transform(texts)))
load = (
    "import time; began = time.perf_counter(); from harness.scoring.classifier import models; "
    "models(); print(time.perf_counter() - began)"
)
seconds = float(
    subprocess.run([sys.executable, "-c", load], check=True, capture_output=True, text=True).stdout
)
print(f"verdicts {ours:,.0f} replies/s; loading {seconds:.2f} s")
print(f"  splitting into words {split:,.0f}/s: ratio {ours / split:.3f}")
print(
    f"  one alternation in re (finds names, decides nothing) {grep:,.0f}/s: ratio {ours / grep:.2f}"
)
print(f"  scikit-learn over whole replies, words {whole:,.0f}/s: ratio {ours / whole:.2f}")
