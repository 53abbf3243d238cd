"""Marks that stand for mentions in a text, so that a new name is judged like a known one."""

from typing import Final

#: Marks that stand for mentions: a family, a maker, a word that is both, a name that no book lists.
NAME, MAKER, EITHER, UNLISTED = "\ue000", "\ue001", "\ue002", "\ue003"
MARKS: Final = frozenset((NAME, MAKER, EITHER, UNLISTED))
#: What stands between texts that are looked at together.
BORDER: Final = "\ue004"
