"""Targets: models as they can be reached, behind one protocol.

In: requests (`Request`). Out: responses (`Response`), whatever the model, host or network did. Read
`protocol.py` first: it says what a sample is. Then a room an API (`embedded.py`; `vllm.py` and
`vllm_server.py`; `endpoint.py` with `addresses.py`, `preflight.py`, `parameters.py`, `bodies.py`,
`answers.py`, `side_routes.py`, `host.py` and `credentials.py`), `transport.py` (the wire),
`received.py` (what a host sends, read within bounds), `contents.py`, `streams.py` and
`inner_errors.py` (what hosts send otherwise than the API says),
`pace.py`, `spending.py` and `ledger.py` (patience, caps, and what counts after a kill),
`problems.py` and `quirks.py` (what goes wrong, in two tables), `reasoning.py` (where it ends),
`finishes.py` (whether a reply is whole),
`templates.py` (chat templates) and `reach.py` (what a stranger's campaign would reach for).
"""

from harness.campaign import Settings
from harness.targets.ledger import LEDGER, Ledger
from harness.targets.opening import check, open_target
from harness.targets.pace import ErrorRate, Gate, Pace, pace_of
from harness.targets.problems import Refused
from harness.targets.protocol import (
    Capabilities,
    Context,
    Reply,
    Request,
    Response,
    Status,
    Target,
    no_reply,
    told_of,
)
from harness.targets.reach import reach, variable
from harness.targets.reasoning import split_reasoning
from harness.targets.spending import Booked, BudgetReached, Spending, Stopped, cost
from harness.targets.templates import ChatTemplate, counter, template_from_folder
from harness.targets.vllm import model_of

__all__ = [
    "LEDGER",
    "Booked",
    "BudgetReached",
    "Capabilities",
    "ChatTemplate",
    "Context",
    "ErrorRate",
    "Gate",
    "Ledger",
    "Pace",
    "Refused",
    "Reply",
    "Request",
    "Response",
    "Settings",
    "Spending",
    "Status",
    "Stopped",
    "Target",
    "check",
    "cost",
    "counter",
    "model_of",
    "no_reply",
    "open_target",
    "pace_of",
    "reach",
    "split_reasoning",
    "template_from_folder",
    "told_of",
    "variable",
]
