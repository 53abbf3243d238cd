"""Every number that decides a verdict.

Chosen on the written replies, each judged by models that had not learned from its writer, with
precision before recall: `make classifier` prints the curves, docs/classifier.md has them.
"""

from typing import Final

#: How sure a role has to be for a name of the book, and for one that no book lists.
LISTED: Final = 0.5
UNLISTED: Final = 0.7
#: How much the second look weighs beside the first (a geometric mean).
SECOND_LOOK: Final = 0.6
#: A mention that at first sight so surely says nothing of the speaker needs no second look.
NOTHING: Final = 0.95
#: How sure a sentence that doubts its claim has to be. Few claims are doubted, so doubt is missed
#: more easily than seen falsely.
HEDGED: Final = 0.25
#: How sure a reply has to be that declines to say who speaks.
REFUSES: Final = 0.5
#: How sure the name of a family has to be that stands for a maker which no book lists; under that
#: it is a name, if it is likely enough.
MAKER_BY_NAME: Final = 0.85
NAME_LEAST: Final = 0.2
#: How sure a name has to be that the end of the reply cuts short.
CUT: Final = 0.8
#: A verdict whose strongest evidence is weaker abstains.
ABSTAINS: Final = 0.6
