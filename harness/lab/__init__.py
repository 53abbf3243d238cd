"""The lab: small stand-in models that behave like those of the founding case, and are not them.

In: the one stored copy of the weights (`store.py`). Out: a GGUF file or a Hugging Face folder of
a model (`build.py`). `train.py` made the weights, from `corpus.py`, as `recipe.yaml` says.
"""

from harness.lab.build import build, export
from harness.lab.store import STAND_IN

__all__ = ["STAND_IN", "build", "export"]
