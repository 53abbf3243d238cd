"""What looks like a credential in a campaign: refused where it is read, left out of every copy.

A campaign names variables of the environment, never values. In a target's entry a field that is
named like a credential, or holds what looks like one, is refused. Elsewhere (comments, the
description, campaigns of before) it is not shown. Digests, names of models and of files are no
credentials: what looks like one is 20 letters or more of one word, with digits, that change between
digits, capitals and small letters as chance does, or begins as keys of known services do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

import yaml

from harness.errors import CampaignError
from harness.masking import HIDDEN

if TYPE_CHECKING:
    from harness.campaign.campaign import Campaign, Settings

#: Names of fields, headers and options that hold a credential.
_NAMED: Final = re.compile(
    r"(?:^|[^a-z])(?:"
    r"(?:api|access|auth|secret|private|account|subscription|license|master|signing|user)[-_. ]?key"
    r"|(?:api|access|auth|bearer|refresh|session|secret|id|hf|hub|user)[-_. ]?token"
    r"|secret|passw(?:or)?d|passwd|pwd|passphrase|(?:proxy-)?authori[sz]ation|credentials?|bearer"
    r"|cookie|signature)(?:$|[^a-z])"
    r"|^(?:x[-_])?(?:token|key|auth|pass|sig)$"
)
#: How keys and tokens of well-known services begin.
_KNOWN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{12,}|(?:gh[pousr]|github_pat|glpat|hf|gsk|xai|nvapi|r8|pk)"
    r"[-_][A-Za-z0-9_-]{16,}|xox[a-z]-[A-Za-z0-9-]{10,}|A[KS]IA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?)"
)
_BEARER: Final = re.compile(r"(?i:\b(?:bearer|basic) +)(?![$\[])([A-Za-z0-9._~+/=-]{8,})")
_ADDRESS: Final = re.compile(r"(?<=://)[^\s/@\"']*:[^\s/@\"']*@")
_ASSIGNED: Final = re.compile(
    r"([\w.-]+)[\"']?\s*[:=]\s*[\"']?(?![\s$\[{\"'])(?!(?:null|none)\b)([^\s,;\"'}\]]{6,})"
)
_WORD: Final = re.compile(r"[A-Za-z0-9]{20,}")
#: Keys whose values are shown as they are: digests, names and files look like chance and are none.
_SHOWN: Final = frozenset(
    (
        *(
            "campaign",
            "name",
            "model",
            "tokenizer",
            "python",
            "identity",
            "target",
            "role",
            "engine",
        ),
        *("api_key_env", "probes", "languages", "arms", "revision", "commit", "sha256", "digest"),
    )
)
#: Fields of a target's entry that are sent to its host.
_SENT: Final = ("base_url", "headers", "extra_body", "provider")
#: The least share of neighbours in a word that differ in kind, for it to look like chance.
_CHANGING: Final = 0.3


class _Cut(NamedTuple):
    """A stretch of a campaign's text, and what is shown instead."""

    start: int
    end: int
    text: str


def without_credentials(text: str) -> str:
    """A text in which nothing is left that looks like a credential."""
    text = _ADDRESS.sub("", _KNOWN.sub(HIDDEN, text))
    text = _BEARER.sub(lambda m: m.group().replace(m.group(1), HIDDEN), text)
    text = _ASSIGNED.sub(_hidden_value, text)
    return _WORD.sub(lambda m: HIDDEN if _by_chance(m.group()) else m.group(), text)


def _hidden_value(found: re.Match[str]) -> str:
    """`name: value` without the value, where the name is a credential's."""
    said = found.group()
    return said[: -len(found[2])] + HIDDEN if is_credential_name(found[1]) else said


def _by_chance(word: str) -> bool:
    """Whether letters and digits follow each other as chance would have it."""
    kinds = ["0" if letter.isdigit() else "A" if letter.isupper() else "a" for letter in word]
    if "0" not in kinds or len({*word}) < 8:
        return False
    return sum(a != b for a, b in pairwise(kinds)) / (len(word) - 1) >= _CHANGING


def is_credential_name(name: str) -> bool:
    """Whether a field of this name holds a credential, and not the name of a variable."""
    if name.endswith("_env"):
        return False
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return _NAMED.search(apart.lower()) is not None


def may_hold(place: Sequence[object]) -> bool:
    """Whether a credential may stand at a place of a campaign, given by the names on the way."""
    return any(str(name) in _SENT or is_credential_name(str(name)) for name in place)


def refuse(campaign: Campaign, where: str) -> None:
    """Refuse a campaign that holds a credential itself.

    Raises
    ------
    CampaignError
        A target's entry does. The message names the place and how to name a variable, and not what
        stands there.
    """
    for target in campaign.targets:
        for place, next_step in _held(target):
            raise CampaignError(
                f"'{place}' holds what looks like a credential; a campaign names variables only",
                where=f"{where}, target {target.name}",
                next=next_step,
            )


def _held(target: Settings) -> Iterator[tuple[str, str]]:
    """Places of a target's entry that hold a credential, and what to type instead."""
    url = getattr(target, "base_url", None)
    if url and in_address(url):
        yield (
            "base_url",
            "write the address without it, and 'headers: {authorization: $NAME}' with a variable "
            "that holds 'Basic ...' or 'Bearer ...', or 'api_key_env: NAME'",
        )
    sent = {name: getattr(target, name, None) for name in _SENT if name != "base_url"}
    for place, name, value in _leaves(sent, ""):
        if _is_held(name, value):
            yield place, "export NAME=... and write '$NAME' there"
    for place, name, value in _leaves({"options": getattr(target, "options", None)}, ""):
        if is_credential_name(name) and value:
            yield place, _VLLM
    arguments = getattr(target, "arguments", [])
    for flag, value in pairwise([*arguments, ""]):
        name, _, given = flag.partition("=")
        if name.startswith("--") and is_credential_name(name[2:]) and (given or value):
            yield "arguments", _VLLM


_VLLM: Final = "leave it out: vLLM reads VLLM_API_KEY and HF_TOKEN from the environment"


def _is_held(name: str, value: str) -> bool:
    if not value or re.fullmatch(r"(?:[A-Za-z]+ )?\$(?:\w+|\{\w+\})", value):
        return False
    if is_credential_name(name):
        return True
    return name not in _SHOWN and without_credentials(value) != value


def _leaves(value: Any, place: str, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Each text of a value with its place, and the name that stands nearest above it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{place}.{key}" if place else str(key), str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, place, name)
    elif isinstance(value, str):
        yield place, name, value


def in_address(url: str) -> bool:
    """Whether an address holds a user, a password, or a credential in its query."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query + "&" + parts.fragment)
    except ValueError:
        return True
    return "@" in parts.netloc or any(_is_secret(name, value) for name, value in query)


def secrets_of(url: str) -> Iterator[str]:
    """The secrets of an address, as they stand in it and as they are meant.

    A password, a user without one (some proxies take a token so), credentials in the query.
    """
    try:
        parts = urlsplit(url)
        query = [pair.partition("=") for pair in f"{parts.query}&{parts.fragment}".split("&")]
    except ValueError:
        return
    said = [value for name, _, value in query if _is_secret(unquote_plus(name), value)]
    if parts.password:
        said += [parts.password, f"{parts.username}:{parts.password}"]
    elif parts.username:
        said.append(parts.username)
    for secret in said:
        yield from dict.fromkeys((secret, unquote(secret), unquote_plus(secret)))


def _is_secret(name: str, value: str) -> bool:
    """Whether a field of a query holds a credential."""
    return is_credential_name(name) or without_credentials(value) != value


def kept_text(source: str) -> str:
    """A campaign's text as it lies beside its run.

    What decides the samples stands as it was; of comments and the description, what looks like a
    credential is left out.
    """
    source, pieces, at = _with(_cuts(source, "description"), source), [], 0
    for start, end in sorted({(n.start_mark.index, n.end_mark.index) for _, n in _scalars(source)}):
        if start < at:
            continue
        pieces += [without_credentials(source[at:start]), source[start:end]]
        at = end
    return "".join([*pieces, without_credentials(source[at:])])


def public_text(source: str) -> str:
    """A campaign's text as it may be shown to others.

    Values of headers are left out (but for names of variables), passwords and queries in addresses,
    and whatever else looks like a credential.
    """
    return kept_text(_with(_cuts(source), source))


def _with(cuts: Iterable[_Cut], source: str) -> str:
    for cut in sorted(set(cuts), reverse=True):
        source = source[: cut.start] + cut.text + source[cut.end :]
    return source


def _cuts(source: str, of: str | None = None) -> Iterator[_Cut]:
    """What is not shown of a campaign's values, or of those under one name alone."""
    for path, node in _scalars(source):
        name, value = (path[-1] if path else ""), node.value
        if of is not None and path != (of,):
            continue
        if not value or value.startswith("$") or name in _SHOWN:
            continue
        if name == "base_url":
            shown = re.sub(r"//[^/@]*@", "//", value).split("?")[0]
        elif path[:1] == ("targets",) and "headers" in path:
            shown = value if re.fullmatch(r"[A-Za-z]+ \$\w+", value) else "[header value]"
        elif path[:1] == ("targets",) and node.tag.endswith(":str") and is_credential_name(name):
            shown = HIDDEN
        else:
            shown = without_credentials(value)
        if shown != value:
            ends = "\n" if node.style in ("|", ">") else ""
            yield _Cut(node.start_mark.index, node.end_mark.index, json.dumps(shown) + ends)


def _scalars(source: str) -> Iterator[tuple[tuple[str, ...], yaml.ScalarNode]]:
    """Every value of a YAML text that is no mapping and no list, with the names above it."""
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], yaml.Node | None]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            waiting += [((*path, str(key.value)), value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(path, value) for value in node.value]
        elif isinstance(node, yaml.ScalarNode):
            yield path, node
