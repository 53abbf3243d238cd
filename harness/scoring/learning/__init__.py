"""Learning: what scoring knows by heart, made of the texts in `training/`; nothing here judges.

::

    training/<language>.txt  short lines     (sentences.py) --+
    training/replies/        whole replies   (written.py, --- +-> fitting.py -> fitted/verdict.npz
                                              wholes.py)      |                fitted/words.txt
    boilerplate.txt          what any model says -------------+                fitted/null.npz

The second look learns from what first looks say of replies that they have not learned from
(`crossed.py`); `curves.py` measures on the same replies. `make classifier` runs it all.
"""
