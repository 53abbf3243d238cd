"""What a mention can be to the speaker of a reply, by number."""

from typing import Final

from harness.scoring.training import ROLES

IS_DENIED, IS_OTHER, IS_BASE, IS_MAKER, IS_NAME = range(5)
#: Those that claim something.
OWN: Final = (IS_BASE, IS_MAKER, IS_NAME)
assert ROLES == ("denied", "other", "self_base", "self_maker", "self_name")
