"""The only writer of tables.

Whole files or none, NA for what is missing, and text that no spreadsheet runs.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Final

import pandas as pd

from harness.errors import RunError
from harness.masking import hide, hide_bytes

#: Columns that hold true or false.
FLAGS: Final = ("hedged", "abstained", "recital_denied")
#: Formats by name, and how their files end. CSV is always written.
FORMATS: Final = {"csv": "csv", "json": "jsonl", "markdown": "md", "parquet": "parquet"}
#: Formats by how the file is called that a user names.
_ENDINGS: Final = {f".{ending}": kind for kind, ending in FORMATS.items()} | {".ndjson": "json"}
#: What starts a formula in a spreadsheet.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: A formula within a text, where a spreadsheet may begin a new cell: after a semicolon or a tab,
#: and after a bar or a line break, where a list's dash, a rule and a Markdown table are none.
_FORMULA_WITHIN: Final = re.compile(
    r"""[;\t][ "]*(?=[=+\-@＝＋－＠])|[|\r\n][ "]*(?=[=@＝＠]|[+\-＋－]+[\w.("'$])"""
)
#: What can mean something in Markdown.
_MARKUP: Final = "\\`*_{}[]<>()#!|~$&"


def neutral(value: Any) -> Any:
    """Text that a spreadsheet shows and does not run.

    What would start a formula gets a leading apostrophe, also within a text, where a program that
    takes another separator would begin a cell (OWASP, "CSV Injection"). The journal keeps the text
    as it was.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip(" ").startswith(_FORMULA_STARTS):
        value = f"'{value}"
    return _FORMULA_WITHIN.sub(lambda found: f"{found.group()}'", value)


def format_of(path: Path) -> str:
    """The format that a file's name asks for.

    Raises
    ------
    RunError
        No table ends so.
    """
    if kind := _ENDINGS.get(path.suffix.lower()):
        return kind
    raise RunError(
        f"'{path.suffix or path.name}' is no kind of table that can be written",
        where=str(path),
        next=f"call it {path.stem or 'table'}.csv, .jsonl, .md or .parquet",
    )


def write_file(frames: pd.DataFrame | Iterable[pd.DataFrame], path: Path) -> int:
    """Write one file, called exactly so, in the format that its ending names; returns the rows.

    Raises
    ------
    RunError
        No table ends so (before a frame is asked for), or as `Spool`.
    """
    return _written(frames, Spool({format_of(path): path}))


def write_table(
    frames: pd.DataFrame | Iterable[pd.DataFrame], stem: Path, formats: Sequence[str] = ()
) -> int:
    """Write a frame, or frames of the same columns one after the other; returns the rows.

    They are written as CSV and in further formats, to files called ``stem`` and the format's
    ending. Frames without a row write a head alone; without a frame nothing is written.

    Raises
    ------
    RunError
        As `Spool`.
    """
    return _written(frames, spool(stem, formats))


def spool(stem: Path, formats: Sequence[str] = ()) -> Spool:
    """A table in CSV and further formats, in files called ``stem`` and the format's ending."""
    kinds = dict.fromkeys(("csv", *formats))
    return Spool({kind: stem.with_name(f"{stem.name}.{FORMATS[kind]}") for kind in kinds})


def _written(frames: pd.DataFrame | Iterable[pd.DataFrame], spooled: Spool) -> int:
    with spooled as table:
        for frame in [frames] if isinstance(frames, pd.DataFrame) else frames:
            table.add(frame)
    return table.rows


class Spool:
    """A table that is written frame by frame (a context manager), to a file for each format.

    Its files appear whole at the end, or not at all.

    Raises
    ------
    RunError
        The disk refuses, or Parquet is wanted and pyarrow is not installed; what stood there before
        is still there.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self.paths, self.rows = dict(paths), 0
        self._scratches = {
            kind: path.with_name(f".{path.name}.{os.getpid()}") for kind, path in paths.items()
        }
        self._files = ExitStack()
        self._adders: list[Adder] = []

    def __enter__(self) -> Spool:
        return self

    def add(self, frame: pd.DataFrame) -> None:
        try:
            if not self._adders:
                for kind, scratch in self._scratches.items():
                    scratch.parent.mkdir(parents=True, exist_ok=True)
                    self._adders.append(_ADDERS[kind](scratch, self._files))
            for add in self._adders:
                add(frame)
        except OSError as problem:
            raise self._refused(problem) from None
        self.rows += len(frame)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._files.close()
            if kind is None and self._adders:
                for name, scratch in self._scratches.items():
                    os.replace(scratch, self.paths[name])
        except OSError as problem:
            raise self._refused(problem) from None
        finally:
            for scratch in self._scratches.values():
                with suppress(OSError):  # no folder, no scratch file
                    scratch.unlink()

    def _refused(self, problem: OSError) -> RunError:
        return RunError(
            f"cannot write the table: {problem}",
            where=", ".join(map(str, self.paths.values())),
            next="free some space, then do it again: nothing else is lost",
        )


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    RunError
        The disk refuses; what stood there before is still there.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(hide_bytes(content))
        os.replace(scratch, path)
    except OSError as problem:
        raise RunError(
            f"cannot write the file: {problem}",
            where=str(path),
            next="free some space, or choose another place",
        ) from None
    finally:
        with suppress(OSError):  # no folder, no scratch file
            scratch.unlink()


Adder = Callable[[pd.DataFrame], None]


def _text(path: Path, files: ExitStack) -> IO[str]:
    return files.enter_context(path.open("w", encoding="utf-8", errors="replace", newline=""))


def _csv(path: Path, files: ExitStack) -> Adder:
    out = _text(path, files)

    def add(frame: pd.DataFrame) -> None:
        said = io.StringIO()
        writer = csv.writer(said, lineterminator="\n")
        if out.tell() == 0:
            writer.writerow(map(neutral, frame.columns))
        writer.writerows(zip(*(_cells(column) for _, column in frame.items()), strict=True))
        out.write(hide(said.getvalue()))

    return add


def _cells(column: pd.Series[Any]) -> list[Any]:
    """A column's values with texts made `neutral`, and NA for what is missing.

    Each different one is looked at once. NaN alone differs from itself.
    """
    values = column.astype(object).tolist()
    shown = {
        value: neutral(value) if isinstance(value, str) else "NA"
        for value in set(values)
        if isinstance(value, str) or value is None or value is pd.NA or value != value
    }
    return [shown.get(value, value) for value in values]


def _json(path: Path, files: ExitStack) -> Adder:
    """One object a line; text as it was, for no spreadsheet reads it."""
    out = _text(path, files)

    def add(frame: pd.DataFrame) -> None:
        out.write(hide(frame.to_json(orient="records", lines=True, force_ascii=True)))

    return add


def _markdown(path: Path, files: ExitStack) -> Adder:
    out = _text(path, files)

    def add(frame: pd.DataFrame) -> None:
        if out.tell() == 0:
            out.write("| " + " | ".join(frame.columns) + " |\n")
            out.write("|" + "---|" * len(frame.columns) + "\n")
        for row in frame.astype(object).itertuples(index=False):
            out.write(hide("| " + " | ".join(_cell(value) for value in row) + " |\n"))

    return add


def _cell(value: Any) -> str:
    """One cell of Markdown: no markup of the text's own, no line break."""
    if value is None or pd.isna(value):
        return "NA"
    said = str(value)
    if isinstance(value, str):
        said = "".join(f"\\{letter}" if letter in _MARKUP else letter for letter in said)
    return " ".join(said.split())


def _parquet(path: Path, files: ExitStack) -> Adder:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise RunError(
            "Parquet needs the package pyarrow",
            next="pip install 'truename[parquet]', or choose another --format",
        ) from None
    writer: list[Any] = []

    def add(frame: pd.DataFrame) -> None:
        plain = _without_categories(frame)
        if not writer:
            fields = [pa.field(name, _arrow_type(pa, plain[name])) for name in plain.columns]
            opened = pq.ParquetWriter(path, pa.schema(fields), compression="zstd")
            writer.append(files.enter_context(opened))
        for name in plain.columns[[not pd.api.types.is_numeric_dtype(k) for k in plain.dtypes]]:
            plain[name] = plain[name].map(
                lambda said: hide(said) if isinstance(said, str) else said
            )
        table = pa.Table.from_pandas(plain, schema=writer[0].schema, preserve_index=False)
        writer[0].write_table(table)

    return add


def _without_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose columns of categories are columns of plain values."""
    categories = [
        name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)
    ]
    return frame.assign(**{name: frame[name].astype(object) for name in categories})


def _arrow_type(pa: Any, column: pd.Series[Any]) -> Any:
    """The type of a column, by its kind alone; flags are booleans.

    So the first stretch of rows decides nothing for the others.
    """
    if pd.api.types.is_integer_dtype(column.dtype):
        return pa.int64()
    if pd.api.types.is_float_dtype(column.dtype):
        return pa.float64()
    return pa.bool_() if column.name in FLAGS else pa.string()


_ADDERS: Final[dict[str, Callable[[Path, ExitStack], Adder]]] = {
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
    "parquet": _parquet,
}
