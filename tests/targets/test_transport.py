"""What hosts write in the heads of their answers."""

from __future__ import annotations

import pytest

from harness.targets.transport import duration, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((None, "7"), 7),
        (("250", "9"), 0.25),
        ((None, "Wed, 21 Oct 2015 07:28:00 GMT"), 0),
        ((None, "soon"), None),
        ((None, None), None),
        ((None, "-3"), 0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers, seconds):
    assert retry_after(*headers) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("120ms", 0.12),
        ("1h2m3s", 3723),
        ("0.5", 0.5),
        (None, 0),
        ("soon", 0),
    ],
)
def test_rate_limit_resets_are_read(text, seconds):
    assert duration(text) == pytest.approx(seconds)
