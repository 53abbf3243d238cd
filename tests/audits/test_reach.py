"""An audit tells what it reaches for before it sends anything."""

from __future__ import annotations

from tests.audits.shop import Shop, prepared
from tests.commands import truename, typed, until

CHANNELS = """[
  {kind: webhook, url: 'https://hooks.example/services/T0-secret-path', secret_env: HOOK_SECRET},
  {kind: slack, url: $HOOK},
  {kind: email, to: [a@example], sender: b@example, host: mail.example, password_env: MAIL},
  {kind: command, run: [/usr/bin/notify, --loud]}]"""
SET = dict.fromkeys(("HOOK_SECRET", "MAIL"), "planted-secret-1")
SET["HOOK"] = "https://secret.example/planted"


def test_what_an_audit_reaches_for_is_printed_before_its_first_request(tmp_path, serve):
    shop = Shop(serve)
    prepared(tmp_path, shop, notify=CHANNELS.replace("\n", ""))
    shop.hold(0)
    words = ("audit", "run", "watch.yaml", "--results", "results")
    with typed(*words, folder=tmp_path, **SET) as running:
        until(lambda: shop.holds or not running.running)
        said = running.stdout
        assert running.running, running.stderr
        running.kill()
    shop.let_go()
    assert f"watch: shop: sends to {shop.host.url}" in said
    assert (
        "watch: webhook: sends to https://hooks.example; signs with what it reads from $HOOK_S"
        in said
    )
    assert "watch: slack: sends to what it reads from $HOOK" in said
    assert "watch: email: sends to a@example by mail.example:25; sends there what it reads" in said
    assert "watch: command: starts the program /usr/bin/notify" in said
    assert "secret-path" not in said and "planted" not in said


def test_an_audit_that_is_not_due_prints_that_alone(tmp_path, serve):
    prepared(tmp_path, Shop(serve))
    words = ("audit", "run", tmp_path / "watch.yaml", "--results", tmp_path / "results")
    assert truename(*words).exit_code == 0
    assert truename(*words).output.startswith("nothing is due")
