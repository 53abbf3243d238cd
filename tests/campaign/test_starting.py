"""Files to begin with are files that can be used."""

from __future__ import annotations

from typing import get_args

import pytest

from harness import campaign
from harness.audits import load_audit
from harness.campaign import begin, folders
from harness.campaign.campaign import Settings
from harness.cli.beginning import init
from harness.errors import CampaignError

#: As the command line offers them.
OFFERED = {each.name: each.type.choices for each in init.params if hasattr(each.type, "choices")}
ENGINES = OFFERED["engine"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    campaign.load_book.cache_clear()
    campaign.load_backstories.cache_clear()
    yield
    campaign.load_book.cache_clear()
    campaign.load_backstories.cache_clear()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_campaign_to_begin_with_is_a_campaign(engine):
    begun = begin("campaign", "mine", engine)
    loaded = campaign.load_campaign("mine")
    assert loaded.campaign.targets[0].engine == engine
    assert begun.next == "truename plan mine"
    assert all(worst.requests > 0 for worst in campaign.worst_case(loaded))


def test_there_is_a_campaign_to_begin_with_for_every_engine():
    fields = [kind.model_fields["engine"] for kind in get_args(Settings)]
    assert {get_args(field.annotation)[0] for field in fields} == set(ENGINES)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_campaign_offers_in_comments_can_be_taken(engine):
    path = begin("campaign", "mine", engine).path
    lines = path.read_text("utf-8").splitlines()
    offered = [n for n, line in enumerate(lines) if line.lstrip().startswith("# ") and ": " in line]
    for number in offered[2:]:  # the first lines are prose
        line = lines[number].replace("# ", "", 1)
        path.write_text("\n".join([*lines[:number], line, *lines[number + 1 :]]), "utf-8")
        campaign.load_campaign(str(path))


def test_an_identity_to_begin_with_is_in_the_book():
    begin("identity", "Velorum")
    book = campaign.load_book()
    assert book.families["velorum"].name == "Velorum"
    assert book.makers_of("velorum") == ["velorum-maker"]


def test_a_backstory_to_begin_with_is_compared_with():
    begin("backstory", "mine")
    assert "mine.md" in {story.file for story in campaign.load_backstories()}


def test_a_prompt_to_begin_with_can_be_named_in_an_arm():
    begin("prompt", "velorum")
    assert folders.find("prompts/system/velorum.j2").read_text() == (
        "You are velorum, a helpful assistant.\n"
    )


def test_an_audit_to_begin_with_is_an_audit():
    begin("audit", "shop")
    assert load_audit("shop").audit.audit == "shop"


def test_what_exists_is_never_written_over():
    path = begin("campaign", "mine").path
    path.write_text("mine alone")
    with pytest.raises(CampaignError, match="exists already") as told:
        begin("campaign", "mine")
    assert "mine-2" in str(told.value) and path.read_text() == "mine alone"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 65, "a b"])
def test_a_name_that_is_no_file_name_is_refused(name, tmp_path):
    with pytest.raises(CampaignError, match="can be no name"):
        begin("campaign", name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "probes").write_text("a file")
    with pytest.raises(CampaignError, match="cannot be written"):
        begin("campaign", "mine")


def test_the_command_offers_every_kind_of_file():
    assert set(OFFERED["kind"]) == set(campaign.KINDS)
