"""What a mention can be to the speaker of a reply, by name and by number."""

from typing import Final, Literal

Role = Literal["self_name", "self_maker", "self_base", "denied", "other"]
ROLES: Final[tuple[Role, ...]] = ("denied", "other", "self_base", "self_maker", "self_name")
IS_DENIED, IS_OTHER, IS_BASE, IS_MAKER, IS_NAME = range(5)
#: Those that claim something.
OWN: Final = (IS_BASE, IS_MAKER, IS_NAME)
