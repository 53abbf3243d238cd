"""Amazon Bedrock's Converse API, through `boto3`, which signs requests and finds credentials.

A system prompt is the field `system`. There are no `n`, seed and penalties. The API does not return
which model answered: the one that was asked is all that is known, and the notes say so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from harness.campaign import BedrockTarget, Message
from harness.errors import TargetError
from harness.masking import hide_bytes, know
from harness.targets import received
from harness.targets.addresses import Addresses
from harness.targets.answers import Choice, Completion, Said
from harness.targets.native.api import Api, system_and_rest, usage_of
from harness.targets.native.target import Native
from harness.targets.pace import Pace
from harness.targets.problems import PROBLEMS, STATUSES, Refused, problem_of
from harness.targets.transport import Answer, Transport

NO_MODEL: Final = "the API does not return which model answered: only the one asked is known"


class Bedrock(Api):
    """The API behind one target."""

    names = {
        "max_tokens": "inferenceConfig.maxTokens",
        "temperature": "inferenceConfig.temperature",
        "top_p": "inferenceConfig.topP",
        "stop": "inferenceConfig.stopSequences",
    }

    def at(self, url: str) -> Addresses:
        return Addresses(url, "", f"/model/{self.model}/converse")

    def prompt(self, messages: Sequence[Message]) -> dict[str, Any]:
        system, rest = system_and_rest(messages)
        said = {"messages": [m | {"content": [{"text": m["content"]}]} for m in rest]}
        return said if system is None else said | {"system": [{"text": system}]}

    def fixed(self) -> dict[str, Any]:
        return {"modelId": self.model}

    def notes(self, sampling: Any) -> list[str]:
        return [*super().notes(sampling), NO_MODEL]

    def read_object(self, found: dict[str, Any]) -> Completion:
        usage, output = found.get("usage"), found.get("output")
        used = usage if isinstance(usage, dict) else {}
        cached = (used.get("cacheReadInputTokens"), used.get("cacheWriteInputTokens"))
        message = output.get("message") if isinstance(output, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        choices = []
        if isinstance(content, list):
            blocks = [block for block in content if isinstance(block, dict)]
            texts = [block for block in blocks if "text" in block]
            thought = "\n\n".join(one for block in blocks if (one := _thought(block)))
            said = Said(texts or None, reasoning_content=thought or None)
            choices = [Choice(said, finish_reason=received.text(found.get("stopReason")))]
        return Completion(
            choices,
            usage=usage_of(used.get("inputTokens"), used.get("outputTokens"), *cached),
        )


def _thought(block: dict[str, Any]) -> str | None:
    """The text of a block of reasoning."""
    found = block.get("reasoningContent")
    inner = found.get("reasoningText") if isinstance(found, dict) else None
    return received.text(inner.get("text")) if isinstance(inner, dict) else None


class Converse(Transport):
    """Requests through `boto3`: one attempt each, for patience is the target's own.

    Raises
    ------
    TargetError
        `boto3` is missing, or finds no credentials.
    """

    def __init__(self, settings: BedrockTarget) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise TargetError(
                "the engine bedrock needs boto3",
                where=f"target {settings.name}",
                next="pip install 'truename[bedrock]'",
            ) from None
        session = boto3.session.Session()
        found = session.get_credentials()
        for secret in (found.secret_key, found.token, found.access_key) if found else ():
            know(secret)
        self.timeout_s = settings.timeout_s
        self.max_bytes = int(settings.max_reply_mb * 1e6)
        self._client = session.client(
            "bedrock-runtime",
            region_name=settings.region,
            endpoint_url=settings.base_url,
            config=Config(
                retries={"total_max_attempts": 1},
                read_timeout=settings.timeout_s,
                connect_timeout=settings.timeout_s,
                max_pool_connections=settings.concurrency or 32,
            ),
        )

    async def post(self, url: str, body: bytes) -> Answer:
        """One attempt, as of every transport; ``url`` is boto3's business."""
        asked = json.loads(body)
        return Answer(await asyncio.to_thread(self._asked, asked), 0.0)

    async def get(self, url: str) -> Answer:
        raise Refused("the API lists nothing", STATUSES[404], status=404)

    async def close(self) -> None:
        self._client.close()

    def _asked(self, asked: dict[str, Any]) -> bytes:
        from botocore import exceptions

        try:
            found = self._client.converse(**asked)
        except exceptions.ClientError as error:
            raise _refused(error.response) from None
        except exceptions.ParamValidationError as error:
            raise Refused(str(error), STATUSES[400], status=400) from None
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise Refused(str(error), STATUSES[401], status=401) from None
        except exceptions.ReadTimeoutError as error:
            raise Refused(str(error), PROBLEMS["timeout"]) from None
        except exceptions.HTTPClientError as error:
            raise Refused(str(error), PROBLEMS["connect"]) from None
        except Exception as error:  # its parser raises bare ones over what a host may send
            raise Refused(f"no answer that boto3 reads: {error}", PROBLEMS["json"]) from None
        found.pop("ResponseMetadata", None)
        body = hide_bytes(json.dumps(found, default=str).encode())
        if len(body) > self.max_bytes:
            raise Refused("the reply is longer than max_reply_mb", PROBLEMS["large"], body=body)
        return body


def _refused(response: Any) -> Refused:
    """A refusal of the host, by its status and words."""
    said, status = response.get("Error", {}), response.get("ResponseMetadata", {})
    code = received.count(status.get("HTTPStatusCode")) or 500
    words = f"HTTP {code} ({said.get('Code')}): {said.get('Message')}"
    return Refused(words, problem_of(code), status=code, body=json.dumps(said).encode())


class BedrockHost(Native):
    """One model behind Bedrock."""

    def __init__(self, settings: BedrockTarget, pace: Pace | None = None) -> None:
        super().__init__(settings, Bedrock(settings), pace)
        self.host.use(Converse(settings))
