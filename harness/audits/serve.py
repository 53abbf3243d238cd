"""A server that keeps the audits' schedule, and shows what they found.

The page is in `web.py`. Each audit runs as a process of its own
(`truename audit run`), so that a crash takes nothing with it and a kill loses nothing. What was
missed while no server ran is run once at the start. Two servers on one database are safe: an audit
is claimed in the database before it begins. Files are read again while it serves (`files.py`): one
that cannot be used is an alarm, and the others go on. So does the server where the database is gone
for a while; `health` says so.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from harness.audits import alarms
from harness.audits.audit import store_url
from harness.audits.config import Schedule, known
from harness.audits.files import Files
from harness.audits.history import LEASE, History
from harness.audits.instants import stamp, utcnow
from harness.audits.links import evidence
from harness.audits.web import Web
from harness.errors import AuditError, TruenameError
from harness.journal import open_engine

#: The variable that tells a process the address of the database (`harness.cli.options`).
STORE: Final = "TRUENAME_STORE"
#: How often audits that someone left half done are looked for, and files are read again.
LOOK_AGAIN_S: Final = LEASE.total_seconds() / 2
READ_AGAIN_S: Final = 5.0
#: Audits that run at once, each in a process of its own.
AT_ONCE: Final = 8
#: A loop that is not back after so many seconds hangs; an audit that was due for longer is overdue.
BEATS_S: Final = 60.0
OVERDUE: Final = datetime.timedelta(minutes=15)


class Server:
    """The schedule and, if wanted, the page."""

    def __init__(
        self,
        names: list[str],
        results: Path,
        store: str,
        http: str | None,
        token: str | None,
        hosts: Sequence[str] = (),
        every: bool = False,
    ) -> None:
        from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
        from apscheduler.schedulers.background import BackgroundScheduler

        self.results, self.store = results, store
        self.history = History(open_engine(store))
        self.files = Files(names, self.history, every)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.stopping, self.begun = threading.Event(), False
        #: What went wrong in the loop, and how audits ended that did not end well.
        self.trouble: str | None = None
        self.ended: dict[str, int] = {}
        self._queued: set[str] = set()
        self._taking = threading.Lock()
        self._pool = ThreadPoolExecutor(AT_ONCE, "audit")
        self._beat, self._schedules = time.monotonic(), dict[str, Schedule]()
        # servers of other audits keep their jobs apart
        served = repr((sorted(names), str(results.resolve())))
        self._table = f"schedule_{hashlib.sha256(served.encode()).hexdigest()[:12]}"
        jobs = SQLAlchemyJobStore(engine=self.history.engine, tablename=self._table)
        self.scheduler = BackgroundScheduler(
            jobstores={"default": jobs},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        _SERVERS[self._table] = self
        self.scheduler.start(paused=True)
        self._read()
        asks = self.health, self.ready
        self.web = Web(self.history, results, http, token, hosts, *asks) if http else None

    @property
    def names(self) -> list[str]:
        """The audits whose files can be used."""
        return list(self.files.good)

    @property
    def address(self) -> str | None:
        """Where the page is served."""
        return self.web.address if self.web else None

    def run(self, say: Callable[[str], None]) -> None:
        """Serve until a signal; audits under way are asked to stop, which is said, and saved."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopping.set())
        self.scheduler.resume()
        if self.web:
            threading.Thread(target=self.web.run, daemon=True).start()
        looked = read = time.monotonic()
        self.begun = True
        for name in self.names:  # what was missed while no server ran
            self.fire(name)
        while not self.stopping.wait(0.2):
            self._beat = now = time.monotonic()
            if now - read >= READ_AGAIN_S:
                read = now
                self._trying(self._read)
            if now - looked >= LOOK_AGAIN_S:
                looked = now
                self._trying(self._look)
        self.close(say)

    def _trying(self, what: Callable[[], None]) -> None:
        """Do something that may fail for a while, as where the database is gone."""
        try:
            what()
        except TruenameError as problem:
            if self.trouble is None:
                sys.stderr.write(f"{problem}\n")
            self.trouble = problem.what
        else:
            self.trouble = None

    def _read(self) -> None:
        """Read the files again, and keep the schedules that they say now."""
        for line in self.files.read():
            sys.stderr.write(f"{line}\n")
        for name, audit in self.files.good.items():
            if self._schedules.get(name) != audit.schedule:
                trigger = audit.schedule.trigger()
                trigger.jitter = audit.schedule.jitter_s or None
                self.scheduler.add_job(
                    "harness.audits.serve:fire",
                    trigger,
                    id=name,
                    args=[self._table, name],  # no address, which may hold a password
                    replace_existing=True,
                )
                if self.begun and name not in self._schedules:
                    self.fire(name)
                self._schedules[name] = audit.schedule

    def _look(self) -> None:
        """Begin what is left to do: an audit half done, an alarm to tell."""
        for name, audit in self.files.known.items():
            if name in self.files.good:
                if self.history.abandoned(audit.audit) or self._untold(name):
                    self.fire(name)
            elif self._untold(name):  # its process could not read the file
                told = evidence(audit, self.results)
                self._pool.submit(alarms.tell, audit, self.history, told)

    def _untold(self, name: str) -> bool:
        """Whether an alarm waits to be told."""
        audit = self.files.known[name]
        channels = [alarms.name_of(channel) for channel in audit.notify]
        again = audit.alarm.remind_h
        before = None if again is None else stamp(utcnow() - datetime.timedelta(hours=again))
        return any(self.history.untold(audit.audit, channels, before))

    def fire(self, name: str) -> None:
        """Run the audit that is due, unless this server runs it already."""
        with self._taking:
            if self.stopping.is_set() or name in self._queued or name not in self.files.good:
                return
            self._queued.add(name)
        with suppress(RuntimeError):  # the server is closing
            self._pool.submit(self._work, name)

    def _work(self, name: str) -> None:
        """Run one audit in a process of its own."""
        command = [sys.executable, "-m", "harness.cli", "audit", "run", name]
        command += ["--results", str(self.results)]
        try:
            if self.stopping.is_set():
                return
            process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                process_group=0,  # Ctrl-C would reach it too, and be the first of two signals
                env=os.environ | {STORE: self.store},  # an argument is seen by all of the machine
            )
            self.processes[name] = process
            _, told = process.communicate()
            if process.returncode in (0, 3):
                self.ended.pop(name, None)
            else:
                self.ended[name] = process.returncode
                sys.stderr.write(told.decode("utf-8", "replace"))
        finally:
            self.processes.pop(name, None)
            with self._taking:
                self._queued.discard(name)

    def ready(self) -> list[str]:
        """Why nothing is kept yet, or any more."""
        if self.stopping.is_set():
            return ["it is stopping"]
        return [] if self.begun else ["it has not begun"]

    def health(self) -> list[str]:
        """What is wrong, in lines."""
        wrong = self.ready()
        late = time.monotonic() - self._beat
        if self.begun and late > BEATS_S:
            wrong.append(f"the loop is not back for {late:.0f} s")
        if self.trouble:  # its words may name the database, and anybody may ask
            wrong.append("the loop cannot do its work; standard error says why")
        wrong += [f"{name}: its file cannot be used" for name in self.files.bad]
        wrong += [f"{name}: it ended with {code}" for name, code in dict(self.ended).items()]
        return wrong + self._overdue()

    def _overdue(self) -> list[str]:
        """Audits that were due long ago and are not begun."""
        now, late = utcnow(), []
        for name, audit in dict(self.files.good).items():
            due = audit.schedule.due(now)
            patience = OVERDUE + datetime.timedelta(seconds=audit.schedule.jitter_s)
            if due is None or now - due < patience or self.history.running(audit.audit):
                continue
            if due > self.files.since and not self.history.was_begun(audit.audit, stamp(due)):
                late.append(f"{name}: overdue since {stamp(due)}")
        return late

    def close(self, say: Callable[[str], None]) -> None:
        """Stop taking work, let what runs save itself, and go."""
        self.stopping.set()
        self.scheduler.shutdown(wait=False)
        running = list(self.processes.values())
        for process in running:
            process.terminate()
        if running:
            say(f"stopping; waiting for what is in flight of {len(running)} audits")
        for process in running:
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self.web:
            self.web.close()
        self.history.engine.dispose()


#: Servers of this process by their table: jobs in the store name what to call by text.
_SERVERS: dict[str, Server] = {}


def fire(table: str, name: str) -> None:
    """What the scheduler calls."""
    _SERVERS[table].fire(name)


def open_server(
    wanted: Sequence[str],
    results: Path,
    store: str | None,
    http: str | None,
    token_env: str | None,
    hosts: Sequence[str] = (),
) -> Server:
    """A server for some audits, or for all that there are.

    ``hosts`` are names, beside addresses and localhost, under which its page may be asked for.

    Raises
    ------
    AuditError
        There is none, one cannot be used, or the variable with the token is not set.
    """
    token = os.environ.get(token_env) if token_env else None
    if token_env and not token:
        raise AuditError(
            f"the environment variable {token_env} is not set", next=f"export {token_env}=..."
        )
    names = list(wanted) or [path.stem for path in known()]
    if not names:
        raise AuditError(
            "there is no audit to serve",
            where="probes/audits",
            next="write one; docs/audits.md has an example",
        )
    return Server(names, results, store_url(results, store), http, token, hosts, not wanted)
