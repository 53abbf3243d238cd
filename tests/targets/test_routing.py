"""An aggregator's hosts: a target each, and never a sample that another host gave.

The list of endpoints and `provider` in answers are as OpenRouter's reference describes them.
"""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

from harness.campaign import from_text
from harness.errors import CampaignError, TargetError
from harness.targets.protocol import Reply, Response
from harness.targets.routing import Routing
from tests.commands import truename
from tests.openai_server import chat
from tests.targets.test_endpoint import endpoint, settings

SWEEP = """campaign: sweep
targets:
  - name: m
    role: suspect
    engine: endpoint
    base_url: '{url}'
    model: maker/model
    api_key_env: null
    samples_per_request: 1
    providers: [{tags}]
probes: [identity]
arms: [absent]
limits: {{stop_at_error_rate: 1, stop_run_at_error_rate: 1}}
"""
LISTED = {
    "data": {
        "id": "maker/model",
        "endpoints": [
            {"provider_name": "Host One", "tag": "host-one/fp8", "quantization": "fp8"},
            {"provider_name": "Google", "tag": "google-vertex", "quantization": "unknown"},
            {"provider_name": None, "tag": "broken"},
            "no endpoint",
        ],
    }
}
NAMES = {"host-one/fp8": "Host One", "google-vertex": "Google"}


def listed(path):
    return LISTED if path == "/v1/models/maker/model/endpoints" else None


def answer(path, body, number):
    """Each host by its name, but for some answers that come from elsewhere, or nobody says."""
    if "messages" not in body:
        return (404, {}, b"{}")
    (tag,) = body["provider"]["only"]
    assert body["provider"]["allow_fallbacks"] is False
    if tag == "google-vertex" and number % 3 == 0:
        return chat("I am Nex.", provider="Elsewhere")
    if tag == "google-vertex" and number % 7 == 0:
        return chat("I am Nex.")
    return chat("I am Rio.", provider=NAMES[tag])


def preflight(host, **fields):
    async def go():
        target = endpoint(host.url, model="maker/model", **fields)
        try:
            return await target.preflight()
        finally:
            await target.close()

    return asyncio.run(go())


def test_each_host_is_a_target_and_what_others_gave_is_in_no_rate(serve, tmp_path):
    url = serve(answer, listed).url
    (tmp_path / "c.yaml").write_text(SWEEP.format(url=url, tags=", ".join(NAMES)))
    ran = truename("run", "c.yaml", "--no-live", folder=tmp_path)
    assert ran.exit_code == 0, ran.output
    told = truename("tally", "sweep", folder=tmp_path)
    assert told.exit_code == 0, told.output
    rows = pd.read_csv(tmp_path / "results/sweep/samples.csv")
    assert set(rows["target"]) == {"m-host-one-fp8", "m-google-vertex"}
    other = rows["provider"].isin([*NAMES.values()])
    assert set(rows["status"][other]) == {"ok"}
    assert set(rows["status"][~other]) == {"misrouted"} and set(rows["provider"][~other]) > {
        "Elsewhere"
    }
    rates = pd.read_csv(tmp_path / "results/sweep/tally.csv")
    whole = rates[(rates["language"] == "all") & (rates["measure"] == "name")].set_index("target")
    lost = whole["misrouted"]
    assert lost["m-google-vertex"] == (~other).sum() > 0
    assert lost["m-host-one-fp8"] == 0
    assert "nex" not in set(rates["identity"][rates["hits"] > 0])
    page = truename("report", "sweep", folder=tmp_path)
    assert page.exit_code == 0, page.output
    assert "misrouted" in (tmp_path / "results/sweep/report.html").read_text()


def test_a_host_that_is_not_listed_is_refused_with_those_that_are(serve):
    with pytest.raises(TargetError) as refused:
        preflight(serve(answer, listed), provider={"only": ["nobody"], "allow_fallbacks": False})
    assert "providers: [host-one/fp8, google-vertex]" in str(refused.value.next)


@pytest.mark.parametrize(
    ("said", "status"), [("Host-One", "ok"), ("Host Two", "misrouted"), (None, "misrouted")]
)
def test_without_a_list_a_host_is_known_by_its_tag(said, status):
    response = Response([Reply(0, "ok", "I am Rio."), Reply(1, "failed")], provider=said)
    Routing(settings("http://h", provider={"only": ["host-one/fp8"]})).judge(response)
    assert [reply.status for reply in response.replies] == [status, "failed"]


def test_without_pinning_nothing_is_misrouted():
    response = Response([Reply(0, "ok", "I am Rio.")], provider="anyone")
    Routing(settings("http://h", provider={"order": ["one"]})).judge(response)
    assert response.replies[0].status == "ok"


def test_hosts_are_named_once():
    text = SWEEP.format(url="http://h/v1", tags="a")
    with pytest.raises(CampaignError, match="says no only"):
        from_text(text.replace("model:", "provider: {only: [b]}\n    model:", 1), "c", None)
    with pytest.raises(CampaignError, match="shorter name"):
        from_text(text.replace("name: m", f"name: {'m' * 63}"), "c", None)
    with pytest.raises(CampaignError, match="stands twice: m-a"):
        from_text(text.replace("[a]", "[a, a]"), "c", None)
