"""The files of the audits that are served: read again while they are, and told of where they break.

A file that cannot be used any more is an alarm of that audit, told to the channels that it had; it
is over when the file can be used again. Meanwhile the audit does not run.
"""

from __future__ import annotations

from pathlib import Path

from harness.audits import alarms, config
from harness.audits.config import Audit, load_audit
from harness.audits.events import Event, grave
from harness.audits.history import History
from harness.audits.instants import stamp, utcnow
from harness.errors import TruenameError


class Files:
    """The audits of a server, as their files say now.

    Raises
    ------
    AuditError
        None of them can be used.
    """

    def __init__(self, names: list[str], history: History, every: bool) -> None:
        self.names, self.history, self.every = names, history, every
        #: Those that can be used, as they were last when they could, and why the others cannot.
        self.good: dict[str, Audit] = {}
        self.known: dict[str, Audit] = {}
        self.bad: dict[str, str] = {}
        self.since = utcnow()
        found = {name: self._load(name) for name in names}
        problems = [one for one in found.values() if isinstance(one, TruenameError)]
        if len(problems) == len(found):
            raise problems[0]

    def read(self) -> list[str]:
        """Read all files again; lines that say what cannot be used, and what can again."""
        if self.every:
            self.names = list(dict.fromkeys([*self.names, *(p.stem for p in config.known())]))
        lines: list[str] = []
        for name in self.names:
            found = self._load(name)
            if isinstance(found, TruenameError):
                self.good.pop(name, None)
                if self.bad.get(name) != str(found):
                    self.bad[name] = str(found)
                    lines.append(str(found))
                    self._breaks(name, found)
            else:
                self.good[name] = self.known[name] = found
                if self.bad.pop(name, None) is not None:
                    lines.append(f"{name}: its file can be used again")
                self._is_whole(found)
        return lines

    def _load(self, name: str) -> Audit | TruenameError:
        try:
            audit = load_audit(name).audit
            alarms.check(audit)
        except TruenameError as problem:
            return problem
        return audit

    def _open(self, audit: str) -> list[str]:
        return [
            alarm.event.event
            for alarm in self.history.states(audit)
            if alarm.is_open and alarm.event.witness == "file"
        ]

    def _breaks(self, name: str, problem: TruenameError) -> None:
        """Raise an alarm, unless one is open already."""
        last = self.known.get(name)
        audit = last.audit if last else Path(name).stem
        if self._open(audit):
            return
        if last:
            alarms.meet(last, self.history)
        now = stamp(utcnow())
        event = Event(
            *(f"{audit}/{now}/file", audit, "broken", None, now, now, ""),
            changes=str(problem).splitlines()[:5],
            witness="file",
            severity=grave(last, "file") if last else "warning",
            next="mend the file; it is read again while the server runs",
        )
        self.history.raise_(event)

    def _is_whole(self, audit: Audit) -> None:
        """End the alarm about a file that can be used."""
        if opened := self._open(audit.audit):
            now = stamp(utcnow())
            event = Event(
                *(f"{audit.audit}/{now}/file-recovered", audit.audit, "recovered", None),
                *(now, now, ""),
                witness="file",
                severity=grave(audit, "file"),
                closes=opened,
            )
            self.history.raise_(event)
