"""The examples of docs/examples work as they stand."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from harness.audits import exposition, load_audit
from harness.audits.config import Schedule
from harness.audits.history import History
from harness.cli import main
from harness.journal import open_engine
from tests.commands import truename


@pytest.fixture
def examples(root):
    return root / "docs/examples"


def lines(path):
    """The lines of a file that are no comments."""
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def options_are_known(words):
    """Whether every option that a command's example types exists."""
    group, name, *rest = words
    parameters = main.commands[group].commands[name].params
    known = {option for parameter in parameters for option in parameter.opts}
    return {word for word in rest if word.startswith("--")} <= known


def test_the_audit_has_a_campaign_and_channels(examples):
    loaded = load_audit(str(examples / "audit.yaml"))
    assert loaded.audit.notify[0].kind == "webhook"
    assert loaded.campaign.campaign.targets[0].name == "hosted"


def test_the_pipeline_types_what_there_is(examples):
    steps = yaml.safe_load((examples / "ci.yaml").read_text())["jobs"]["audit"]["steps"]
    (typed,) = (step["run"] for step in steps if "truename audit run" in step.get("run", ""))
    assert options_are_known(shlex.split(typed)[1:])


def test_cron_starts_it_with_its_secrets_in_the_environment(examples, tmp_path):
    (line,) = lines(examples / "crontab")
    Schedule(cron=" ".join(line.split()[:5]))
    command = line.split(maxsplit=5)[5].replace("/srv/truename", str(tmp_path))
    assert options_are_known(command.split("bin/truename ")[1].split(" >>")[0].split())
    (tmp_path / "secrets.env").write_text("SLACK_HOOK=https://hooks.example.org/x\n")
    program = tmp_path / ".venv/bin/truename"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$SLACK_HOOK $*"\n')
    program.chmod(0o755)
    subprocess.run(["/bin/sh", "-c", command], check=True, env={"PATH": "/bin:/usr/bin"})
    assert (tmp_path / "audit.log").read_text() == "https://hooks.example.org/x audit run shop\n"


def test_the_cronjob_finds_its_files_where_it_stands(examples, tmp_path):
    config, job = yaml.safe_load_all((examples / "cronjob.yaml").read_text())
    assert (job["kind"], job["spec"]["concurrencyPolicy"]) == ("CronJob", "Forbid")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted.keys() == volumes.keys() and container["workingDir"] == mounted["config"]
    assert volumes["config"]["configMap"]["name"] == config["metadata"]["name"]
    for item in volumes["config"]["configMap"]["items"]:
        path = tmp_path / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config["data"][item["key"]])
    command = container["command"]
    assert command[0] == "truename" and options_are_known(command[1:])
    planned = truename("audit", "plan", command[3], "--results", tmp_path / "r", folder=tmp_path)
    assert planned.exit_code == 0 and "shop absent" in planned.output, planned.output


def test_systemd_takes_the_units(examples, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / ".venv/bin/truename"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = []
    for name in ("truename-audit.service", "truename-audit.timer"):
        text = (examples / name).read_text().replace("/srv/truename", str(tmp_path))
        (tmp_path / name).write_text(text)
        units.append(str(tmp_path / name))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.fixture
def metrics(tmp_path):
    """The names of all metrics."""
    history = History(open_engine(f"sqlite:///{tmp_path}/empty.sqlite"))
    told = exposition(history).decode()
    history.engine.dispose()
    return set(re.findall(r"^# TYPE (\w+) ", told, re.MULTILINE))


def used(expression):
    return set(re.findall(r"\btruename_\w+", expression))


def test_the_rules_ask_for_metrics_that_there_are_and_their_alerts_lead_somewhere(
    examples, metrics
):
    groups = yaml.safe_load((examples / "prometheus-rules.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    names = {rule["alert"] for rule in rules}
    assert len(names) == len(rules) == 5
    for rule in rules:
        assert used(rule["expr"]) <= metrics, rule
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
    told = yaml.safe_load((examples / "alertmanager.yaml").read_text())
    receivers = {receiver["name"] for receiver in told["receivers"]}
    route = told["route"]
    assert {route["receiver"], *(one["receiver"] for one in route["routes"])} == receivers
    for rule in told["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            assert re.fullmatch(r'alertname="(\w+)"', matcher)[1] in names


def test_the_dashboard_asks_for_metrics_that_there_are(examples, metrics):
    board = json.loads((examples / "grafana-dashboard.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [one["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    assert all(used(expression) and used(expression) <= metrics for expression in asked)
    shown = set().union(*map(used, asked))
    assert {"truename_alarms_open", "truename_audit_budget_used_ratio"} <= shown
    places = [tuple(panel["gridPos"][key] for key in "xywh") for panel in board["panels"]]
    assert len(set(places)) == len(places) and all(x + w <= 24 for x, _, w, _ in places)
