"""Reading YAML as data: one safe loader, errors with line numbers, no unknown keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from harness.campaign.private import may_hold, without_credentials
from harness.encodings import text_of
from harness.errors import TruenameError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


#: libyaml where the wheel has it: a tenth of the time.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UniqueLoader(_Loader):  # type: ignore[misc, valid-type]
    """Refuses a key that stands twice in one mapping (YAML would keep the last, silently)."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{key}' stands twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_text(path: Path, error: type[TruenameError]) -> str:
    try:
        return text_of(path, error)
    except OSError as problem:
        raise error(
            f"cannot read the file: {problem}", where=str(path), next="check the path"
        ) from None


#: Letters of a file, its values once every alias is written out, and lists and mappings in each
#: other: files may come from strangers.
LETTERS, VALUES, DEPTH = 2_000_000, 200_000, 60


def _check_depth(text: str) -> None:
    """The composer calls itself for what stands in something else: too deep, and it crashes."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH:
            raise ValueError(f"more than {DEPTH} lists and mappings stand in each other")


def _check_size(node: yaml.Node) -> None:
    """Few letters can stand for many values, by aliases of aliases, and for endless ones."""
    known: dict[int, int] = {}

    def values(node: yaml.Node, depth: int) -> int:
        if depth > DEPTH:
            raise ValueError(f"more than {DEPTH} lists and mappings stand in each other")
        if id(node) not in known:
            inner: list[yaml.Node] = []
            if isinstance(node, yaml.SequenceNode):
                inner = node.value
            elif isinstance(node, yaml.MappingNode):
                inner = [part for pair in node.value for part in pair]
            known[id(node)] = 1 + sum(values(part, depth + 1) for part in inner)
            if known[id(node)] > VALUES:
                raise ValueError(f"its aliases stand for more than {VALUES:,} values")
        return known[id(node)]

    values(node, 0)


def _load(text: str) -> Any:
    """The value of a YAML text, within bounds."""
    if len(text) > LETTERS:
        raise ValueError(f"it has more than {LETTERS:,} letters")
    _check_depth(text)
    loader = _UniqueLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def parse(text: str, where: str, error: type[TruenameError]) -> dict[str, Any]:
    """The mapping that a YAML text holds."""
    try:
        loaded = _load(text)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        raise error(
            f"not valid YAML: {problem.problem}",
            where=f"{where}, line {mark.line + 1}" if mark else where,
            next="mend that line",
        ) from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as problem:
        raise error(
            f"not valid YAML: {problem}", where=where, next="write it as plain UTF-8 YAML"
        ) from None
    if not isinstance(loaded, dict):
        raise error(
            "the file holds no keys",
            where=where,
            next="write 'key: value' lines; probes/campaigns/ has examples",
        )
    return loaded


def validate(model: type[Model], data: Any, where: str, error: type[TruenameError]) -> Model:
    """Build ``model`` from ``data``.

    Every problem is named with its key, unknown keys with a suggestion.
    """
    try:
        return model.model_validate(data)
    except ValidationError as problem:
        said: dict[str, list[str]] = {}  # several of one key: of the kinds that it may be of
        for entry in problem.errors(include_url=False):
            place, what = _explain(model, entry)
            said.setdefault(place, []).append(what)
        lines = [place + " or ".join(dict.fromkeys(kinds)) for place, kinds in said.items()]
        raise error(
            "\n".join(lines), where=where, next="mend the key above and try again"
        ) from None


#: What to say of a value, by the kind of the problem; the rest of the words are the library's.
_SHOULD: Final = {
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "int_parsing_size": "should be a smaller number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "finite_number": "should be a number that ends",
    "string_type": "should be text (put it in quotes)",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "dict_type": "should be keys with values",
    "model_type": "should be keys with values",
    "model_attributes_type": "should be keys with values",
    "greater_than": "should be more than {gt:g}",
    "greater_than_equal": "should be {ge:g} or more",
    "less_than": "should be less than {lt:g}",
    "less_than_equal": "should be {le:g} or less",
    "too_short": "should have {min_length} entries or more",
    "too_long": "should have {max_length} entries at most",
    "literal_error": "should be {expected}",
    "string_pattern_mismatch": "should be written so: {pattern}",
    "union_tag_not_found": "needs the key {discriminator}, which says of what kind it is",
    "union_tag_invalid": "the key {discriminator} should be one of {expected_tags}",
}


#: What stands in a location for the kind of a value.
_KINDS: Final = ("int", "str", "float", "bool", "constrained-str", "constrained-int")


def _explain(model: type[BaseModel], entry: Any) -> tuple[str, str]:
    """Where a problem is, by the keys that the user typed, and what it is."""
    path = ".".join(_typed(model, entry["loc"]))
    if entry["type"] == "extra_forbidden":
        key = str(entry["loc"][-1])
        known = did_you_mean(key, _keys_at(model, entry["loc"][:-1]))
        return f"unknown key '{path}': ", known
    if entry["type"] == "missing":
        return f"the key '{path}' is missing", ""
    said = entry["msg"].removeprefix("Value error, ")
    if should := _SHOULD.get(entry["type"]):
        said = should.format(**entry.get("ctx", {}))
    place = f"'{path}': " if path else ""
    # what does not fit together is told of the whole, which need not be shown
    if may_hold(entry["loc"]) or not path:
        return place, said
    return place, f"{said} (found: {without_credentials(str(entry['input']))[:80]!r})"


def _typed(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys and places of a location that stand in the file.

    Between them are names of the kinds that a value may be of.
    """
    here: list[type[BaseModel]] = [model]
    annotations: list[Any] = []
    path = []
    for part in location:
        fields = [m.model_fields[part] for m in here if part in m.model_fields]
        if fields:
            annotations = [field.annotation for field in fields]
            here = [m for a in annotations for m in _models_in(a)]
            path.append(str(part))
        elif isinstance(part, int):
            path.append(str(part))
        elif tagged := [m for m in here if _has_tag(m, part) or m.__name__ == part]:
            here = tagged
        elif not (annotations and (part in _KINDS or "[" in part)):
            path.append(str(part))
    return path


def _keys_at(model: type[BaseModel], location: tuple[Any, ...]) -> set[str]:
    """Keys that are known at a place in the model.

    Union members are told apart by their tag in the location.
    """
    here: list[type[BaseModel]] = [model]
    for part in location:
        fields = [m.model_fields[part] for m in here if part in m.model_fields]
        inner = [m for field in fields for m in _models_in(field.annotation)]
        here = inner or [m for m in here if _has_tag(m, part)] or here
    return {name for m in here for name in m.model_fields}


def _has_tag(model: type[BaseModel], tag: Any) -> bool:
    """Whether a field of the model can only hold this literal."""
    annotations = (field.annotation for field in model.model_fields.values())
    return any(getattr(annotation, "__args__", None) == (tag,) for annotation in annotations)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)
