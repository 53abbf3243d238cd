"""The merge check: is every tensor of a suspect a blend of others' tensors, and how exactly?

In: checkpoints (folders, files, URLs). Out: a sentence, ratios by component, a picture. Read
`check.py` first; bytes walk through the rooms in this order:

`sources` (bytes from files and URLs)
-> `headers` and `quantised` (what a file holds)
-> `checkpoint` (tensors by name)
-> `matching` (the same tensor in each)
-> `fit` (sums, ratios, intervals)
-> `signs` and `residual` (what single tensors show, and what is left of them beside a fit)
-> `methods` and `parts` (which way of merging fits matrices; which of them share a ratio)
-> `invariants` (what another order of rows and columns leaves as it was)
-> `orders` and `aligned` (in which order rows and columns stand; the suspect put in its parents')
-> `story` (one sentence for all of them, or one for each part), `single` (beside one parent alone)
-> `check` (the whole) -> `output` (its files) -> `run` (from places to files).
"""

from harness.weights.check import Settings, check
from harness.weights.output import Found, picture
from harness.weights.run import cache, check_into, told_pairs
from harness.weights.search import best_pair

__all__ = [
    "Found",
    "Settings",
    "best_pair",
    "cache",
    "check",
    "check_into",
    "picture",
    "told_pairs",
]
