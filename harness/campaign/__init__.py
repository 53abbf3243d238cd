"""The campaign: what is asked, of whom, in which words.

In: YAML, Jinja2 and Markdown files, of the user first, then those that ship. Out: trials (`Plan`),
and the identity book that later wings read. Read `campaign.py` first: it says what a file may hold.
"""

from harness.campaign import folders
from harness.campaign.campaign import (
    Arm,
    Budget,
    Campaign,
    Limits,
    Loaded,
    Sampling,
    Settings,
    Stop,
    deciding,
    from_text,
    load_campaign,
    parse_arm,
    piped_campaign,
)
from harness.campaign.entries import (
    EmbeddedTarget,
    EndpointTarget,
    Name,
    Price,
    RemoteTarget,
    VariableName,
    VllmTarget,
)
from harness.campaign.folders import cache_folder
from harness.campaign.identities import (
    Backstory,
    BackstoryHead,
    Book,
    BookFile,
    load_backstories,
    load_book,
)
from harness.campaign.native import (
    AnthropicTarget,
    BedrockTarget,
    GeminiTarget,
    NativeTarget,
    OllamaTarget,
    ResponsesTarget,
)
from harness.campaign.plan import (
    Message,
    Plan,
    Trial,
    prompt_token_bound,
    sample_seed,
    worst_case,
)
from harness.campaign.private import in_address, public_text, secrets_of, without_credentials
from harness.campaign.probes import Probe, load_probe
from harness.campaign.prompts import questions
from harness.campaign.starting import KINDS, begin
from harness.campaign.yamlfiles import Strict, parse, read_text, validate

__all__ = [
    "KINDS",
    "AnthropicTarget",
    "Arm",
    "Backstory",
    "BackstoryHead",
    "BedrockTarget",
    "Book",
    "BookFile",
    "Budget",
    "Campaign",
    "EmbeddedTarget",
    "EndpointTarget",
    "GeminiTarget",
    "Limits",
    "Loaded",
    "Message",
    "Name",
    "NativeTarget",
    "OllamaTarget",
    "Plan",
    "Price",
    "Probe",
    "RemoteTarget",
    "ResponsesTarget",
    "Sampling",
    "Settings",
    "Stop",
    "Strict",
    "Trial",
    "VariableName",
    "VllmTarget",
    "begin",
    "cache_folder",
    "deciding",
    "folders",
    "from_text",
    "in_address",
    "load_backstories",
    "load_book",
    "load_campaign",
    "load_probe",
    "parse",
    "parse_arm",
    "piped_campaign",
    "prompt_token_bound",
    "public_text",
    "questions",
    "read_text",
    "sample_seed",
    "secrets_of",
    "validate",
    "without_credentials",
    "worst_case",
]
