"""Telling people: webhooks, Slack-compatible hooks, mail and commands.

An alarm is told once to each channel, and tried again until it is. A receiver that answered after
the connection broke may get an alarm twice; the event's name, in the body and in a header, is the
same then. Only the addresses that the audit names are asked: redirects are not followed; attempts,
waits and answers are bounded. What went wrong is told without the address, which may be a secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from harness.audits.config import Audit, Command, Email, Slack, Webhook
from harness.audits.history import History
from harness.audits.watching import Event
from harness.errors import AuditError, TargetError
from harness.masking import hide, know
from harness.targets import Refused, variable

ATTEMPTS: Final = 3
TIMEOUT_S: Final = 20.0
#: Bytes of an answer to a webhook that are read; none of them means anything.
READ: Final = 65_536
#: Characters that are told of what a command wrote.
TOLD: Final = 200
Any_channel = Webhook | Slack | Email | Command


class NotTold(Exception):
    """A channel did not take an alarm."""


def content(event: Event, where: str) -> dict[str, Any]:
    """An alarm as data: what changed, how sure, since when, and where the evidence lies."""
    return {"headline": event.headline, **msgspec.to_builtins(event), "evidence": where}


def text(event: Event, where: str) -> str:
    """An alarm in words."""
    lines = [event.headline, *(f"- {change}" for change in event.changes)]
    if event.p_value is not None:
        chance = max(event.p_value, 1e-300)
        lines.append(f"A false alarm of this kind has a chance of at most {chance:.2g}.")
    return "\n".join([*lines, f"Evidence: {where}"])


def name_of(channel: Any_channel) -> str:
    """The channel's name in the database: its kind and a hash of its settings."""
    return f"{channel.kind}-{hashlib.sha256(channel.model_dump_json().encode()).hexdigest()[:12]}"


def tell(audit: Audit, history: History, evidence: Callable[[Event], str]) -> list[str]:
    """Tell every alarm to every channel that does not know it yet; returns the problems.

    What fails is tried again next time.
    """
    channels = {name_of(channel): channel for channel in audit.notify}
    problems = []
    for event, name in history.untold(audit.audit, list(channels)):
        try:
            _tell(channels[name], event, evidence(event))
        except NotTold as problem:
            said = hide(str(problem))
            history.note_delivery(event.event, name, said[:500])
            problems.append(f"{channels[name].kind}: {said}")
        else:
            history.note_delivery(event.event, name, None)
    return problems


def check(audit: Audit) -> None:
    """Whether every variable that the channels name is set, and addresses in them are such.

    Raises
    ------
    AuditError
        One is not.
    """
    for channel in audit.notify:
        for name in _variables(channel):
            if name not in os.environ:
                raise AuditError(
                    f"the environment variable {name} is not set",
                    where=f"audit {audit.audit}, notify, {channel.kind}",
                    next=f"export {name}=...",
                )
            know(os.environ[name])
        url = getattr(channel, "url", "")
        if url.startswith("$") and not _is_address(os.environ[url[1:]]):
            raise AuditError(
                f"the environment variable {url[1:]} holds no address",
                where=f"audit {audit.audit}, notify, {channel.kind}",
                next="an address starts with http:// or https://",
            )


def reach(audit: Audit) -> list[str]:
    """A line for each channel: whom it tells, which variables it reads, what it starts."""
    return [f"{channel.kind}: {'; '.join(_said(channel))}" for channel in audit.notify]


def _said(channel: Any_channel) -> Iterator[str]:
    if isinstance(channel, Command):
        yield f"starts the program {channel.run[0]}"
    elif isinstance(channel, Email):
        yield f"sends to {', '.join(channel.to)} by {channel.host}:{channel.port}"
    elif channel.url.startswith("$"):
        yield f"sends to what it reads from {variable(channel.url[1:])}"
    else:
        yield f"sends to {host_of(channel.url)}"  # its path is often a secret
    for name, how in (("secret_env", "signs with"), ("password_env", "sends there")):
        if named := getattr(channel, name, None):
            yield f"{how} what it reads from {variable(named)}"


def _variables(channel: Any_channel) -> list[str]:
    """The environment variables that a channel names."""
    named = [getattr(channel, "secret_env", None), getattr(channel, "password_env", None)]
    url = getattr(channel, "url", "")
    if url.startswith("$"):
        named.append(url[1:])
    return [variable for variable in named if variable]


def _tell(channel: Any_channel, event: Event, where: str) -> None:
    if isinstance(channel, Email):
        _mail(channel, event, where)
    elif isinstance(channel, Command):
        _command(channel, event, where)
    elif isinstance(channel, Slack):
        _post(_url(channel.url), msgspec.json.encode({"text": text(event, where)}), {})
    else:
        body = msgspec.json.encode(content(event, where))
        headers = {"x-truename-event": event.event.encode("ascii", "replace").decode()}
        if channel.secret_env:
            secret = os.environ[channel.secret_env].encode()
            signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
            headers["x-truename-signature"] = f"sha256={signature}"
        _post(_url(channel.url), body, headers)


def _url(url: str) -> str:
    """The address that a channel names."""
    return os.environ[url[1:]] if url.startswith("$") else url


def host_of(url: str) -> str:
    """What may be told of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"


def _is_address(url: str) -> bool:
    """Whether an address is one of HTTP that can be read."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    from harness.targets.transport import Transport

    if not _is_address(url):
        raise NotTold("its address is none of HTTP")
    host = host_of(url)  # what may be told of it

    async def go() -> None:
        try:
            wire = Transport(host, headers, TIMEOUT_S, READ)
        except TargetError as problem:
            raise NotTold(problem.what) from None
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    await wire.post(url, body)
                    return
                except Refused as refused:
                    if attempt == ATTEMPTS or _is_final(refused.status):
                        raise NotTold(refused.reason) from None
                    await asyncio.sleep(min(refused.retry_after or 0.5 * 2**attempt, 10))
        finally:
            await wire.close()

    asyncio.run(go())


def _is_final(status: int | None) -> bool:
    """True if a receiver will refuse the same again: 429 asks to wait, 500 and above may pass."""
    return status is not None and status < 500 and status != 429


def _mail(channel: Email, event: Event, where: str) -> None:
    message = EmailMessage()
    message["Subject"] = event.headline
    message["From"], message["To"] = channel.sender, ", ".join(channel.to)
    message["Message-ID"] = f"<{hashlib.sha256(event.event.encode()).hexdigest()[:32]}@truename>"
    message.set_content(text(event, where))
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with smtplib.SMTP(channel.host, channel.port, timeout=TIMEOUT_S) as server:
                if channel.starttls:
                    import ssl

                    server.starttls(context=ssl.create_default_context())
                if channel.user:
                    server.login(channel.user, os.environ.get(channel.password_env or "", ""))
                server.send_message(message)
                return
        except (OSError, smtplib.SMTPException) as problem:
            if attempt == ATTEMPTS:
                raise NotTold(str(problem)) from None
            time.sleep(0.5 * 2**attempt)


def _command(channel: Command, event: Event, where: str) -> None:
    with tempfile.TemporaryFile() as told:
        try:
            done = subprocess.run(
                channel.run,
                input=msgspec.json.encode(content(event, where)),
                stdout=subprocess.DEVNULL,
                stderr=told,
                timeout=TIMEOUT_S * 3,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise NotTold(str(problem)) from None
        if done.returncode:
            told.seek(0)
            said = hide(told.read(4 * TOLD).decode("utf-8", "replace"))[:TOLD]
            raise NotTold(f"exit code {done.returncode}: {said}")
