"""A suspect's tensors, put into the order of its parents where they stand in another.

Hidden dimensions first (by the embeddings: another order, or turned), then what lies within a
layer: heads of attention (by the rows of each projection), experts (by the rows of their router),
neurons of each MLP. What is believed moved is read in the parents' order from then on, so that the
fit can be done again. Numbers are read from this machine only: it takes whole matrices.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.weights import orders
from harness.weights.checkpoint import Checkpoint, LeftOut, Piece
from harness.weights.matching import alike, evenly, layer_of
from harness.weights.orders import Numbers, Order, Paired, Turn, Twice
from harness.weights.quantised import Quantised

#: Columns of a matrix by which its rows are paired; tokens by which hidden dimensions are.
COLUMNS: Final = 512
TOKENS: Final = 2048
#: Hidden dimensions above which no rotation is looked for: it takes their third power.
WIDEST: Final = 4096
#: Layers that are tried before any other.
TRIED: Final = 4
#: Bytes that are decoded at once.
BLOCK: Final = 8_000_000
#: A matrix that no combination of the parents explains to this share of its length is looked at.
LOST: Final = 0.3
#: Gains of a norm that differ by less than this are one number.
FLAT: Final = 1e-3
EMBEDDING: Final = "embed_tokens.weight"
#: Matrices whose rows are hidden dimensions; of the others these are the columns.
WRITES: Final = re.compile(r"\.(o_proj|down_proj|out_proj|w2)(\.weight)?$")
GATE, UP, DOWN = "gate_proj", "up_proj", "down_proj"


class Aligned(NamedTuple):
    """The suspect in the parents' order, what was moved, and what the search has seen.

    ``checkpoint`` is None where no other order was found.
    """

    checkpoint: Checkpoint | None
    moved: list[str]
    seen: list[str]
    turned: bool


class _Search:
    """The pieces of all checkpoints by name, and what became of the suspect's."""

    def __init__(self, mine: Checkpoint, theirs: Sequence[Checkpoint], lost: set[str]) -> None:
        self.mine, *self.theirs = alike([mine, *theirs], [])
        self.left: dict[str, LeftOut] = {}
        self.lost = lost
        self.moved: list[str] = []
        self.seen: list[str] = []
        self.turned = False

    def parents(self, names: Sequence[str]) -> list[dict[str, Piece]]:
        """The parents that have all of some tensors in the suspect's shape."""
        return [
            pieces
            for pieces in self.theirs
            if all(
                name in self.mine and name in pieces and pieces[name].shape == self.mine[name].shape
                for name in names
            )
        ]

    def move(self, name: str, rows: Order | None = None, columns: Order | None = None) -> None:
        if name in self.mine:
            self.mine[name] = _moved(self.mine[name], rows, columns)


def aligned(
    mine: Checkpoint, theirs: Sequence[Checkpoint], unexplained: Mapping[str, float]
) -> Aligned:
    """Look for another order of the suspect's rows and columns.

    Parameters
    ----------
    unexplained
        What no combination of the parents explains of each matrix, as a share of its length.
    """
    lost = {name for name, share in unexplained.items() if share > LOST}
    search = _Search(mine, theirs, lost)
    if EMBEDDING in lost:
        _hidden(search)
    layers = sorted({layer for name in lost if (layer := layer_of(name)) is not None})
    for what, within in (
        ("attention heads", _attention),
        ("experts", _experts),
        ("MLP neurons", _neurons),
    ):
        _in_layers(search, what, layers, within)
    if not search.moved:
        return Aligned(None, [], search.seen, turned=False)
    left = mine.left_out | search.left
    checkpoint = mine._replace(
        pieces=search.mine, left_out=left, digest=f"{mine.digest} aligned {search.moved}"
    )
    return Aligned(checkpoint, search.moved, search.seen, search.turned)


def _hidden(search: _Search) -> None:
    """Hidden dimensions, by the embeddings of the tokens."""
    parents = search.parents([EMBEDDING])
    if not parents or search.mine[EMBEDDING].columns < 2:
        return
    mine = _halves(search.mine[EMBEDDING])
    found = [orders.twice(_halves(pieces[EMBEDDING]), mine) for pieces in parents]
    best = max(found, key=lambda one: one.paired.typical)
    search.seen.append(_said("hidden dimensions by the embeddings", [best]))
    if best.believed:
        if best.paired.moved:
            search.moved.append("hidden dimensions")
            for name in list(search.mine):
                _reorder_hidden(search, name, best.paired.order)
        return
    if search.mine[EMBEDDING].columns <= WIDEST:
        _rotation(search, parents)


def _reorder_hidden(search: _Search, name: str, order: Order) -> None:
    piece, hidden = search.mine[name], len(order)
    if len(piece.shape) < 2 or WRITES.search(name):
        if piece.rows % hidden == 0:
            stacks = np.arange(piece.rows // hidden)[:, None] * hidden
            search.move(name, rows=(stacks + order).reshape(-1))
    elif piece.columns == hidden:
        search.move(name, columns=order)


def _rotation(search: _Search, parents: Sequence[dict[str, Piece]]) -> None:
    size = search.mine[EMBEDDING].columns
    tokens = max(2 * size, TOKENS)
    mine = _some_rows(search.mine[EMBEDDING], tokens).astype(np.float64)
    theirs = [_some_rows(p[EMBEDDING], tokens).astype(np.float64) for p in parents]
    found = orders.turn(theirs, mine)
    search.seen.append(f"a rotation of the embeddings: {found.cosine:.3f} on tokens held out")
    if not found.believed:
        return
    search.moved.append("hidden dimensions")
    search.turned = True
    gains = _gains(search, found, parents)
    for name in list(search.mine):
        _turn_back(search, name, found.matrix.astype(np.float32), gains)


def _gains(search: _Search, found: Turn, parents: Sequence[dict[str, Piece]]) -> dict[str, Numbers]:
    """What to multiply with for each norm, where a rotation took its gains into what reads from it.

    Then the suspect's own are all the same; the parents' are blended as their embeddings are.
    """
    gains = {}
    for name, piece in search.mine.items():
        if len(piece.shape) > 1 or piece.rows != len(found.matrix):
            continue
        mine = _read(piece).reshape(-1)
        if np.ptp(mine) > FLAT * np.abs(mine).max() or not all(name in p for p in parents):
            continue
        theirs = [_read(p[name]).reshape(-1) for p in parents]
        gains[name] = mine / sum(a * one for a, one in zip(found.shares, theirs, strict=True))
    return gains


def _turn_back(search: _Search, name: str, matrix: Numbers, gains: Mapping[str, Numbers]) -> None:
    piece, hidden = search.mine[name], len(matrix)
    if len(piece.shape) < 2:
        if piece.rows == hidden:
            why = "its hidden dimensions were turned, which no norm follows"
            search.left[name] = LeftOut(why, piece.shape, weights=False)
            del search.mine[name]
    elif WRITES.search(name) and piece.rows == hidden:
        search.mine[name] = _made(piece, lambda at, n: _times(matrix[at : at + n], piece), True)
    elif piece.columns == hidden:
        gain = gains.get(_norm_before(name) or "", 1)
        search.mine[name] = _made(
            piece, lambda at, n: (_read(piece, at, n) @ matrix.T) * gain, True
        )


def _norm_before(name: str) -> str | None:
    """The norm whose output a matrix reads, by Llama's names."""
    found = re.match(r"(layers\.\d+\.)(self_attn|mlp|block_sparse_moe)\.", name)
    if found:
        norm = "input" if found[2] == "self_attn" else "post_attention"
        return f"{found[1]}{norm}_layernorm.weight"
    return "norm.weight" if name == "lm_head.weight" else None


#: What was found in one layer: how rows were paired, and what is to be moved where that is
#: believed.
Within = Callable[["_Search", int], tuple[list[Paired | Twice], Callable[[], None]] | None]


def _in_layers(search: _Search, what: str, layers: Sequence[int], within: Within) -> None:
    """Look in some layers; where nothing is found there, in no others."""
    found: list[Paired | Twice] = []
    moved = 0
    first = evenly(layers, TRIED)
    believed = False
    for layer in (*first, *(one for one in layers if one not in first)):
        if layer not in first and not believed:
            break
        if (pairs := within(search, layer)) is None:
            continue
        found += pairs[0]
        if all(map(_believed, pairs[0])):
            believed = True
            moved += sum(_pairs(one).moved for one in pairs[0])
            pairs[1]()
    if found:
        search.seen.append(_said(what, found))
    if moved:
        search.moved.append(what)


def _believed(one: Paired | Twice) -> bool:
    return one.believed if isinstance(one, Twice) else one.typical >= orders.ALIKE


def _pairs(one: Paired | Twice) -> Paired:
    return one.paired if isinstance(one, Twice) else one


def _said(what: str, found: Sequence[Paired | Twice]) -> str:
    """What was seen of some orders, in words."""
    said = f"{what}: median cosine {np.median([_pairs(one).typical for one in found]):.3f}"
    tested = [one for one in found if isinstance(one, Twice)]
    if not tested:
        return said
    least = max(one.p_log10 for one in tested)
    p = "below 1e-300" if least < -300 else f"{10**least:.2g} at most"
    share = float(np.median([one.agree for one in tested]))
    return f"{said}, {100 * share:.0f} % of pairs found twice (Spearman's p {p})"


def _attention(
    search: _Search, layer: int
) -> tuple[list[Paired | Twice], Callable[[], None]] | None:
    """Rows of the queries and keys, each by itself; of values, with the columns of the output."""
    names = {p: f"layers.{layer}.self_attn.{p}_proj" for p in "qkvo"}
    weights = {p: f"{name}.weight" for p, name in names.items()}
    parents = search.parents(list(weights.values()))
    if not parents or not search.lost.intersection(weights.values()):
        return None
    mine = {p: _features(search.mine[weights[p]], p == "o") for p in "qkvo"}
    best: list[Paired | Twice] = []
    for pieces in parents:
        theirs = {p: _features(pieces[weights[p]], p == "o") for p in "qkvo"}
        found: list[Paired | Twice] = [
            orders.paired(orders.unit(theirs[p]), orders.unit(mine[p])) for p in "qk"
        ]
        if len(mine["v"]) == len(mine["o"]):
            found.append(orders.twice([theirs["v"], theirs["o"]], [mine["v"], mine["o"]]))
        else:  # query heads share those of keys and values
            found += [orders.paired(orders.unit(theirs[p]), orders.unit(mine[p])) for p in "vo"]
        best = _better(best, found)

    def move() -> None:
        for p, one in zip("qkv", best, strict=False):
            for part in ("weight", "bias"):
                search.move(f"{names[p]}.{part}", rows=_pairs(one).order)
        search.move(weights["o"], columns=_pairs(best[-1]).order)

    return best, move


def _better(one: list[Paired | Twice], other: list[Paired | Twice]) -> list[Paired | Twice]:
    return max(one, other, key=lambda some: min((_pairs(o).typical for o in some), default=-1.0))


def _experts(search: _Search, layer: int) -> tuple[list[Paired | Twice], Callable[[], None]] | None:
    """Experts, by the rows of their router."""
    at = f"layers.{layer}."
    router = next(
        (
            name
            for name in search.mine
            if name.startswith(at) and re.search(r"\.(gate|router)\.weight$", name)
        ),
        None,
    )
    if router is None or not (parents := search.parents([router])):
        return None
    mine = orders.unit(_features(search.mine[router]))
    best: list[Paired | Twice] = []
    for pieces in parents:
        theirs = orders.unit(_features(pieces[router]))
        best = _better(best, [orders.paired(theirs, mine)])
    order = _pairs(best[0]).order

    def move() -> None:
        pattern = re.compile(r"(.*\.experts)\.(\d+)(\..*)")
        before = dict(search.mine)
        for name, piece in before.items():
            if not name.startswith(at):
                continue
            if (one := pattern.fullmatch(name)) is not None and int(one[2]) < len(order):
                search.mine[name] = before[f"{one[1]}.{order[int(one[2])]}{one[3]}"]
            elif ".experts." in name and piece.shape[0] == len(order) and len(piece.shape) == 3:
                rows = piece.rows // len(order)
                stacks = order[:, None] * rows + np.arange(rows)
                search.move(name, rows=stacks.reshape(-1))
            elif name == router or name == router.replace(".weight", ".bias"):
                search.move(name, rows=order)

    return best, move


def _neurons(search: _Search, layer: int) -> tuple[list[Paired | Twice], Callable[[], None]] | None:
    """Neurons of each MLP of a layer, by the rows of its gate and of its up projection."""
    pattern = re.compile(rf"(layers\.{layer}\..*)\.{GATE}\.weight")
    places = [one[1] for name in search.mine if (one := pattern.fullmatch(name))]
    found: list[Paired | Twice] = []
    chosen: list[tuple[str, Order]] = []
    for place in places:
        names = [f"{place}.{part}.weight" for part in (GATE, UP, DOWN)]
        if not search.lost.intersection(names) or not (parents := search.parents(names[:2])):
            continue
        mine = [_features(search.mine[name]) for name in names[:2]]
        tried = [orders.twice([_features(p[n]) for n in names[:2]], mine) for p in parents]
        best = max(tried, key=lambda one: one.paired.typical)
        found.append(best)
        chosen.append((place, best.paired.order))

    def move() -> None:
        for place, order in chosen:
            for part in ("weight", "bias"):
                search.move(f"{place}.{GATE}.{part}", rows=order)
                search.move(f"{place}.{UP}.{part}", rows=order)
            search.move(f"{place}.{DOWN}.weight", columns=order)

    return (found, move) if found else None


def _halves(embedding: Piece) -> list[Numbers]:
    """The hidden dimensions over two halves of the tokens, centred and scaled by token."""
    e = _some_rows(embedding, TOKENS)
    e = orders.unit(e - e.mean(axis=0))
    return [e[::2].T, e[1 : len(e) // 2 * 2 : 2].T]


def _some_rows(piece: Piece, most: int) -> Numbers:
    """Some rows, spread over a matrix; the same ones of each of its shape."""
    if piece.rows <= most:
        return _read(piece)
    chosen = np.linspace(0, piece.rows - 1, most).astype(int)
    return _gathered(piece, chosen)


def _features(piece: Piece, across: bool = False) -> Numbers:
    """The rows of a matrix (its columns, if ``across``) by some of their numbers."""
    if across:
        return np.ascontiguousarray(_some_rows(piece, COLUMNS).T)
    chosen = np.linspace(0, piece.columns - 1, min(COLUMNS, piece.columns)).astype(int)
    parts = [_read(piece, at, n)[:, chosen] for at, n in _blocks(piece)]
    return np.concatenate(parts)


def _blocks(piece: Piece) -> list[tuple[int, int]]:
    step = max(1, BLOCK // (4 * piece.columns))
    return [(at, min(step, piece.rows - at)) for at in range(0, piece.rows, step)]


def _read(piece: Piece, first: int = 0, rows: int | None = None) -> Numbers:
    kind = np.float64 if piece.dtype == "F64" else np.float32
    out = np.empty((piece.rows if rows is None else rows, piece.columns), kind)
    piece.read(first, out)
    return np.nan_to_num(out, nan=0.0, posinf=0.0, neginf=0.0)


def _times(left: Numbers, piece: Piece) -> Numbers:
    """A product with a whole matrix, which is read block by block."""
    total = np.zeros((len(left), piece.columns), np.float32)
    for at, n in _blocks(piece):
        total += left[:, at : at + n] @ _read(piece, at, n)
    return total


def _gathered(piece: Piece, order: npt.NDArray[np.integer]) -> Numbers:
    """Rows in some order, neighbours read together."""
    out = np.empty((len(order), piece.columns), np.float64 if piece.dtype == "F64" else np.float32)
    breaks = np.flatnonzero(np.diff(order) != 1) + 1
    edges = [0, *breaks.tolist(), len(order)]
    for a, b in itertools.pairwise(edges):
        piece.read(int(order[a]), out[a:b])
    return out


def _moved(piece: Piece, rows: Order | None, columns: Order | None) -> Piece:
    """A piece in another order of its rows, of its columns, or of both."""

    def read(at: int, n: int) -> Numbers:
        order = np.arange(at, at + n) if rows is None else rows[at : at + n]
        found = _gathered(piece, order)
        return found if columns is None else np.ascontiguousarray(found[:, columns])

    return _made(piece, read, piece.turned)


def _made(piece: Piece, read: Callable[[int, int], Numbers], turned: bool) -> Piece:
    """A piece whose rows are computed when they are asked for."""
    name, shape = piece.stored.name, (piece.rows, piece.columns)
    stored = Quantised(name, piece.dtype, shape, piece.row_bytes, read, turned)
    return piece._replace(stored=stored, first=0, scale=None)
