"""Audits as they are written: schedules, budgets, and what is told of a wrong one."""

from __future__ import annotations

import datetime

import pytest
import yaml

from harness.audits.config import Schedule
from harness.audits.history import left
from tests.audits.shop import AUDIT, CAMPAIGN, audit
from tests.commands import truename


@pytest.mark.parametrize(
    ("cron", "zone", "now", "due"),
    [
        ("0 6 * * *", "UTC", "2026-03-01T06:00:00+00:00", "2026-03-01T06:00:00+00:00"),
        ("0 6 * * *", "UTC", "2026-03-01T05:59:59+00:00", "2026-02-28T06:00:00+00:00"),
        ("*/15 * * * *", "UTC", "2026-03-01T05:50:00+00:00", "2026-03-01T05:45:00+00:00"),
        (
            "0 9 1 * *",
            "America/Sao_Paulo",
            "2026-03-20T00:00:00+00:00",
            "2026-03-01T12:00:00+00:00",
        ),
        ("30 2 29 2 *", "UTC", "2026-03-20T00:00:00+00:00", None),
    ],
)
def test_when_an_audit_was_due_last(cron, zone, now, due):
    found = Schedule(cron=cron, timezone=zone).due(datetime.datetime.fromisoformat(now))
    assert found == (due and datetime.datetime.fromisoformat(due))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedule": {"cron": "every day"}}, "is no cron expression"),
        ({"schedule": {"cron": "0 6 * * *", "timezone": "Mars/Base"}}, "there is no time zone"),
        ({"notify": [{"kind": "webhook", "url": "ftp://x"}]}, "an address starts with"),
        ({"baselin": "first"}, "unknown key 'baselin'"),
        ({"campaign": "no-such"}, "no such campaign"),
        ({"targets": ["shpo"]}, "no target 'shpo'"),
        ({"alarm": {"watch": ["weather"]}}, "alarm.watch"),
    ],
)
def test_a_wrong_audit_is_told(tmp_path, change, said):
    (tmp_path / "c.yaml").write_text(CAMPAIGN.format(url="http://127.0.0.1:9/v1"))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(yaml.safe_load(AUDIT) | change))
    done = truename("audit", "run", tmp_path / "a.yaml", "--results", tmp_path / "results")
    assert done.exit_code == 2 and said in done.output and "next:" in done.output


def test_a_month_has_a_budget():
    wanted = audit(budget={"month": {"requests": 100, "money": 5}})
    assert left(wanted.budget.month, (40, 0, 1.0)).requests == 60
    assert left(wanted.budget.month, (100, 0, 1.0)) is None
    assert left(wanted.budget.month, (1, 0, 5.0)) is None
