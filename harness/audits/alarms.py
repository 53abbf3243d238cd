"""Telling people: webhooks, Slack-compatible hooks, mail and commands.

An alarm is told once to each channel, and tried again until it is: whoever tells it claims that in
the database first. A receiver that answered after the connection broke may get an alarm twice; the
event's name, in the body and in a header, is the same then. Channels are told at the same time, and
all of them within one limit. What is not told on purpose (`Route`, silences, maintenance) is said
in `_withheld`. Only the addresses that the audit names are asked: redirects are not followed;
attempts, waits and answers are bounded. What went wrong is told without the address, which may be a
secret.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import hmac
import html
import os
import smtplib
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from harness.audits.config import Audit, Command, Email, Slack, Webhook
from harness.audits.events import Event
from harness.audits.history import History
from harness.audits.instants import stamp, utcnow
from harness.audits.raised import SILENCED, Alarm, Pending
from harness.errors import AuditError, StoreError, TargetError
from harness.masking import hide, know
from harness.targets import Refused, variable

ATTEMPTS: Final = 3
TIMEOUT_S: Final = 20.0
#: Seconds that telling all channels may take together.
LIMIT_S: Final = 30.0
#: Bytes of an answer to a webhook that are read; none of them means anything.
READ: Final = 65_536
#: Characters that are told of what a command wrote.
TOLD: Final = 200
Any_channel = Webhook | Slack | Email | Command


class NotTold(Exception):
    """A channel did not take an alarm."""


def content(event: Event, where: str, reminder: int = 0) -> dict[str, Any]:
    """An alarm as data: what changed, how sure, since when, and where the evidence lies."""
    said = {"headline": event.headline, **msgspec.to_builtins(event), "evidence": where}
    return said | ({"reminder": reminder} if reminder else {})


def text(event: Event, where: str, reminder: int = 0) -> str:
    """An alarm in words."""
    lines = [f"Reminder {reminder}, it is still open."] if reminder else []
    lines += [event.headline, *(f"- {change}" for change in event.changes)]
    if event.p_value is not None:
        chance = max(event.p_value, 1e-300)
        lines.append(f"A false alarm of this kind has a chance of at most {chance:.2g}.")
    if event.next:
        lines.append(f"Next: {event.next}")
    return "\n".join([*lines, f"Evidence: {where}"])


def name_of(channel: Any_channel) -> str:
    """The channel's name in the database: its kind and a hash of where it leads.

    A secret or a route that is put on it makes no other channel of it.
    """
    if isinstance(channel, Email):
        leads: list[str] = [*sorted(channel.to), channel.host]
    else:
        leads = channel.run if isinstance(channel, Command) else [channel.url]
    return f"{channel.kind}-{hashlib.sha256(msgspec.json.encode(leads)).hexdigest()[:12]}"


def meet(audit: Audit, history: History) -> None:
    """Note the audit's channels: a new one is told what is raised from now on."""
    history.know(audit.audit, [name_of(channel) for channel in audit.notify])


def tell(
    audit: Audit,
    history: History,
    evidence: Callable[[Event], str],
    now: datetime.datetime | None = None,
) -> list[str]:
    """Tell every alarm to every channel that does not know it yet; returns the problems.

    What fails is tried again next time.
    """
    meet(audit, history)
    now = now or utcnow()
    channels = {name_of(channel): channel for channel in audit.notify}
    again = audit.alarm.remind_h
    before = None if again is None else stamp(now - datetime.timedelta(hours=again))
    owed: dict[str, list[Pending]] = {}
    for pending in history.untold(audit.audit, list(channels), before):
        why, done = _withheld(audit, channels[pending.channel], history, pending, now)
        if why is None:
            owed.setdefault(pending.channel, []).append(pending)
        elif (done or not pending.silenced) and history.claim_telling(pending):
            history.note_delivery(pending, why, now, done=done)
    return _told_at_once(channels, owed, history, evidence, now)


def _told_at_once(
    channels: dict[str, Any_channel],
    owed: dict[str, list[Pending]],
    history: History,
    evidence: Callable[[Event], str],
    now: datetime.datetime,
) -> list[str]:
    """Tell each channel what it is owed, in a thread of its own; the problems."""
    problems: list[str] = []
    end = time.monotonic() + LIMIT_S

    def work(name: str, mine: list[Pending]) -> None:
        try:
            each(name, mine)
        except StoreError as problem:
            problems.append(f"{channels[name].kind}: {hide(problem.what)}")

    def each(name: str, mine: list[Pending]) -> None:
        for pending in mine:
            if time.monotonic() >= end or not history.claim_telling(pending):
                continue
            event = pending.alarm.event
            try:
                _tell(channels[name], event, evidence(event), end, pending.reminder)
            except NotTold as problem:
                said = hide(str(problem))
                history.note_delivery(pending, said[:500], now)
                problems.append(f"{channels[name].kind}: {said}")
            else:
                history.note_delivery(pending, None, now)

    threads = {
        name: threading.Thread(target=work, args=(name, mine), daemon=True)
        for name, mine in owed.items()
    }
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(0.0, end + 1 - time.monotonic()))
        if thread.is_alive():
            problems.append(f"{channels[name].kind}: nothing within {LIMIT_S:g} s")
    return problems


def _withheld(
    audit: Audit,
    channel: Any_channel,
    history: History,
    pending: Pending,
    now: datetime.datetime,
) -> tuple[str | None, bool]:
    """Why an alarm is not told to a channel now, and whether it never will be."""
    alarm, event = pending.alarm, pending.alarm.event
    if not _is_routed(channel, event):
        return "it goes to others", True
    if pending.silenced and event.opens and alarm.closed is not None:
        return "it was over before it was told", True
    silenced = _is_silenced(audit, history, alarm, now)
    ends = () if event.opens else event.closes
    held_back = silenced or pending.silenced
    if ends and held_back and not any(history.told(one, pending.channel) for one in ends):
        return "what it ends was not told", True
    return (SILENCED if silenced else None), silenced and not (event.opens or ends)


def _is_routed(channel: Any_channel, event: Event) -> bool:
    """Whether a channel gets such alarms."""
    route = channel.alarms
    grave = not route.severity or event.severity in route.severity
    return grave and (not route.targets or event.target is None or event.target in route.targets)


def _is_silenced(audit: Audit, history: History, alarm: Alarm, now: datetime.datetime) -> bool:
    """Whether nothing is told of an alarm's target now."""
    target = alarm.event.target
    if any(of in (None, target) for of, _ in history.silenced(audit.audit, now)):
        return True
    return any(
        window.holds(now, audit.schedule.timezone)
        for window in audit.maintenance
        if not window.targets or target in window.targets
    )


def test(audit: Audit, event: Event, where: str) -> list[tuple[str, str | None]]:
    """Tell a test to every channel, whatever its route; each one's kind, and what went wrong."""
    said: dict[int, str | None] = dict.fromkeys(
        range(len(audit.notify)), f"nothing within {LIMIT_S:g} s"
    )
    end = time.monotonic() + LIMIT_S

    def work(number: int, channel: Any_channel) -> None:
        try:
            _tell(channel, event, where, end)
        except NotTold as problem:
            said[number] = hide(str(problem))
        else:
            said[number] = None

    threads = [
        threading.Thread(target=work, args=(number, channel), daemon=True)
        for number, channel in enumerate(audit.notify)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end + 1 - time.monotonic()))
    return [(channel.kind, said[number]) for number, channel in enumerate(audit.notify)]


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


def _tell(channel: Any_channel, event: Event, where: str, end: float, reminder: int = 0) -> None:
    if isinstance(channel, Email):
        _mail(channel, event, text(event, where, reminder), end)
    elif isinstance(channel, Command):
        _command(channel, msgspec.json.encode(content(event, where, reminder)), end)
    elif isinstance(channel, Slack):
        said = html.escape(text(event, where, reminder), quote=False)  # as Slack asks for
        _post(_url(channel.url), msgspec.json.encode({"text": said}), {}, end)
    else:
        body = msgspec.json.encode(content(event, where, reminder))
        headers = {"x-truename-event": event.event.encode("ascii", "replace").decode()}
        if channel.secret_env:
            secret = os.environ[channel.secret_env].encode()
            signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
            headers["x-truename-signature"] = f"sha256={signature}"
        _post(_url(channel.url), body, headers, end)


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


def _post(url: str, body: bytes, headers: dict[str, str], end: float) -> None:
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

    async def in_time() -> None:
        async with asyncio.timeout(max(0.1, end - time.monotonic())):
            await go()

    try:
        asyncio.run(in_time())
    except TimeoutError:
        raise NotTold(f"nothing within {LIMIT_S:g} s") from None


def _is_final(status: int | None) -> bool:
    """True if a receiver will refuse the same again: 429 asks to wait, 500 and above may pass."""
    return status is not None and status < 500 and status != 429


def _mail(channel: Email, event: Event, said: str, end: float) -> None:
    message = EmailMessage()
    message["Subject"] = event.headline
    message["From"], message["To"] = channel.sender, ", ".join(channel.to)
    message["Message-ID"] = f"<{hashlib.sha256(event.event.encode()).hexdigest()[:32]}@truename>"
    message.set_content(said)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            left = max(0.1, min(TIMEOUT_S, end - time.monotonic()))
            with smtplib.SMTP(channel.host, channel.port, timeout=left) as server:
                if channel.starttls:
                    import ssl

                    server.starttls(context=ssl.create_default_context())
                if channel.user:
                    server.login(channel.user, os.environ.get(channel.password_env or "", ""))
                server.send_message(message)
                return
        except (OSError, smtplib.SMTPException) as problem:
            wait = 0.5 * 2**attempt
            if attempt == ATTEMPTS or time.monotonic() + wait >= end:
                raise NotTold(str(problem)) from None
            time.sleep(wait)


def _command(channel: Command, said: bytes, end: float) -> None:
    with tempfile.TemporaryFile() as told:
        try:
            done = subprocess.run(
                channel.run,
                input=said,
                stdout=subprocess.DEVNULL,
                stderr=told,
                timeout=max(0.1, end - time.monotonic()),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise NotTold(str(problem)) from None
        if done.returncode:
            told.seek(0)
            said_back = hide(told.read(4 * TOLD).decode("utf-8", "replace"))[:TOLD]
            raise NotTold(f"exit code {done.returncode}: {said_back}")
