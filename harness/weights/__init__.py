"""The merge check: is every tensor of a suspect a blend of the same tensors of others, with which ratio, and how exactly?

`sources` (bytes from files and URLs) -> `headers` and `quantised` (what a file holds) -> `checkpoint` (tensors by name) -> `matching`
(the same tensor in each) -> `fit` (sums, ratios, intervals) -> `signs` (what single tensors show) -> `methods` (which way of merging fits) -> `check` (the whole, and its files).
"""
