"""The examples of docs/examples can be used."""

from __future__ import annotations

import configparser
import shutil
import subprocess

import pytest
import yaml

from harness.audits import load_audit
from harness.audits.config import Schedule
from harness.cli import main


def test_the_examples_can_be_used(root):
    folder = root / "docs/examples"
    loaded = load_audit(str(folder / "audit.yaml"))
    assert (
        loaded.audit.notify[0].kind == "webhook"
        and loaded.campaign.campaign.targets[0].name == "hosted"
    )
    for name, section, key in (
        ("truename-audit.service", "Service", "ExecStart"),
        ("truename-audit.timer", "Timer", "OnCalendar"),
    ):
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str
        unit.read_string((folder / name).read_text())
        assert unit[section][key]
    job = yaml.safe_load((folder / "cronjob.yaml").read_text())
    assert (job["kind"], job["spec"]["concurrencyPolicy"]) == ("CronJob", "Forbid")
    assert job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"][
        :3
    ] == ["truename", "audit", "run"]
    steps = yaml.safe_load((folder / "ci.yaml").read_text())["jobs"]["audit"]["steps"]
    assert any("truename audit run" in step.get("run", "") for step in steps)
    line = next(
        line for line in (folder / "crontab").read_text().splitlines() if not line.startswith("#")
    )
    Schedule(cron=" ".join(line.split()[:5]))
    commands = [
        job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"][1:],
        ["audit", "run", "shop", "--force", "--fail-on", "alarm"],
        line.split("bin/truename ")[1].split(" >>")[0].split(),
    ]
    for words in commands:  # every option that the examples type exists
        group, name, *rest = words
        known = {
            option
            for parameter in main.commands[group].commands[name].params
            for option in parameter.opts
        }
        assert {word for word in rest if word.startswith("--")} <= known


def test_systemd_takes_the_units(root):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(["systemd-analyze", "calendar", "*:0/15"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
