"""Every number that decides a verdict.

Chosen on the written replies, each judged by models that had not learned from its writer, with
precision before recall: `make classifier` prints the curves, docs/classifier.md has them.
"""

from typing import Final

#: How sure a role of a name of the book has to be, a doubt about a claim, and a refusal.
LIKELY: Final = 0.5
#: How sure the role of a name has to be that no book lists, and a maker called like a family.
UNLISTED: Final = 0.7
#: How much the second look weighs beside the first (a geometric mean).
SECOND_LOOK: Final = 0.6
#: A mention that at first sight so surely says nothing of the speaker needs no second look.
NOTHING: Final = 0.95
#: A verdict whose strongest evidence is weaker abstains.
ABSTAINS: Final = 0.6
