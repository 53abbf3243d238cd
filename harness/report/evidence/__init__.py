"""A run as evidence: what is packed for others, and how a stranger's package is checked.

In: a run of one's own, or a file of anybody's. Out: a bundle, or what is wrong with one. Packing is
`packing.py`. Checking is a process of its own under limits (`verify.py` starts it, `checking.py` is
it): the archive is read with distrust (`archive.py`), then the journal's tables (`definitions.py`),
then everything is counted again (`recount.py`). `contents.py` says what a bundle may hold,
`registration.py` what was fixed before the first sample, `signatures.py` and `stamps.py` who says
so, and since when.
"""
