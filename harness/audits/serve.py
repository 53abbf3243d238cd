"""A server that keeps the audits' schedule, and shows what they found.

The page is in `web.py`. Each audit runs as a process of its own
(`truename audit run`), so that a crash takes nothing with it and a kill loses nothing. What was
missed while no server ran is run once at the start. Two servers on one database are safe: an audit
is claimed in the database before it begins.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from harness.audits import alarms
from harness.audits.audit import store_url
from harness.audits.config import known, load_audit
from harness.audits.history import LEASE, History
from harness.audits.web import Web
from harness.errors import AuditError
from harness.journal import open_engine

#: The variable that tells a process the address of the database (`harness.cli.options`).
STORE: Final = "TRUENAME_STORE"
#: How often audits that someone left half done are looked for.
LOOK_AGAIN_S: Final = LEASE.total_seconds() / 2


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
    ) -> None:
        from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
        from apscheduler.schedulers.background import BackgroundScheduler

        self.names, self.results, self.store = names, results, store
        self.history = History(open_engine(store))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.stopping = threading.Event()
        # servers of other audits keep their jobs apart
        served = repr((sorted(names), str(results.resolve())))
        table = f"schedule_{hashlib.sha256(served.encode()).hexdigest()[:12]}"
        self.scheduler = BackgroundScheduler(
            jobstores={"default": SQLAlchemyJobStore(engine=self.history.engine, tablename=table)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        _SERVERS[table] = self
        self.scheduler.start(paused=True)
        for name in names:
            schedule = load_audit(name).audit.schedule
            trigger = schedule.trigger()
            trigger.jitter = schedule.jitter_s or None
            self.scheduler.add_job(
                "harness.audits.serve:fire",
                trigger,
                id=name,
                args=[table, name],  # kept in the database: no address, which may hold a password
                replace_existing=True,
            )
        self.web = Web(self.history, results, http, token, hosts) if http else None

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
        looked = time.monotonic()
        self._fire_all(self.names)  # what was missed while no server ran
        while not self.stopping.wait(0.2):
            if time.monotonic() - looked >= LOOK_AGAIN_S:
                looked = time.monotonic()
                self._fire_all([name for name in self.names if self._is_left(name)])
        self.close(say)

    def _is_left(self, name: str) -> bool:
        """Whether something is left to do: an audit half done, an alarm to tell."""
        return bool(self.history.abandoned(name)) or self._untold(name)

    def _fire_all(self, names: list[str]) -> None:
        for name in names:
            threading.Thread(target=self.fire, args=(name,), daemon=True).start()

    def _untold(self, name: str) -> bool:
        """Whether an alarm waits to be told."""
        audit = load_audit(name).audit
        channels = [alarms.name_of(channel) for channel in audit.notify]
        return any(self.history.untold(audit.audit, channels))

    def fire(self, name: str) -> None:
        """Run the audit that is due, unless this server runs it already."""
        if self.stopping.is_set() or name in self.processes:
            return
        command = [sys.executable, "-m", "harness.cli", "audit", "run", name]
        command += ["--results", str(self.results)]
        self.processes[name] = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C would reach it too, and be the first of two signals
            env=os.environ | {STORE: self.store},  # an argument is seen by all of the machine
        )
        try:
            _, told = self.processes[name].communicate()
            if self.processes[name].returncode not in (0, 3):
                sys.stderr.write(told.decode("utf-8", "replace"))
        finally:
            del self.processes[name]

    def close(self, say: Callable[[str], None]) -> None:
        """Stop taking work, let what runs save itself, and go."""
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
    for name in names:
        alarms.check(load_audit(name).audit)
    return Server(names, results, store_url(results, store), http, token, hosts)
