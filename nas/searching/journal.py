"""The journal of a search: JSON lines that are only ever appended to.

`journal.jsonl` begins with the search's plan; each further line is a trial, in episode order. A
trial that ends ahead of its turn goes to `early.jsonl` at once, so that nothing found is lost, and
to the journal when its turn comes. So the journal is the same for any number of workers. Every
line is on the disk before the search goes on (fsync). A line that a crash cut short is dropped
when the journal is opened again; it was never acted on.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from nas.designs.genotype import Genotype
from nas.searching.trial import Trial, TrialError, trial_from_object

FORMAT = 1
JOURNAL, EARLY = "journal.jsonl", "early.jsonl"


class JournalError(ValueError):
    """A journal that cannot be gone on with, and why."""


class Journal:
    """The trials of the search that `plan` describes, in `folder`, which is made if missing.

    `plan` is what must not differ when a search is resumed, ready for JSON. A journal that exists
    is gone on with only if `resume`. Raises JournalError for an existing journal otherwise, for one
    of another plan, a damaged one, or one that another process has open; OSError from the disk.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], resume: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._early_path = folder / JOURNAL, folder / EARLY
        if not resume and self._path.exists():
            raise JournalError(
                f"{folder} holds a search already: resume it, or name another folder"
            )
        self._file = _open_locked(self._path)
        try:
            self._trials = self._read(plan)
            self._early_file = self._early_path.open("ab+")
            early = _trials(self._early_path, _whole_lines(self._early_file))
        except BaseException:
            self._file.close()
            raise
        self._early = {
            trial.genotype: trial for trial in early if trial.episode >= len(self._trials)
        }

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials so far, in episode order."""
        return tuple(self._trials)

    @property
    def early(self) -> Mapping[Genotype, Trial]:
        """What an earlier run found ahead of its turn and did not come to enter."""
        return self._early

    def append(self, trial: Trial) -> None:
        """Enter the next trial. Raises JournalError for another episode than the next one."""
        if trial.episode != len(self._trials):
            raise JournalError(f"episode {trial.episode} after {len(self._trials)} episodes")
        _append(self._file, trial.to_object())
        self._trials.append(trial)

    def keep_early(self, trial: Trial) -> None:
        """Keep a trial whose turn has not come."""
        _append(self._early_file, trial.to_object())

    def close(self) -> None:
        """Give the files back; early trials that have been entered since need no keeping."""
        if self._early_entered():
            self._early_path.unlink(missing_ok=True)
        self._early_file.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _early_entered(self) -> bool:
        trials = _trials(self._early_path, _whole_lines(self._early_file))
        return all(trial.episode < len(self._trials) for trial in trials)

    def _read(self, plan: Mapping[str, Any]) -> list[Trial]:
        lines = _whole_lines(self._file)
        header = {"format": FORMAT, **plan}
        if not lines:
            # Early trials beside an empty journal are of another search, whose journal is gone.
            self._early_path.unlink(missing_ok=True)
            _append(self._file, header)
            return []
        _check_plan(self._path, _object(self._path, 1, lines[0]), header)
        trials = _trials(self._path, lines[1:], first_line=2)
        for episode, trial in enumerate(trials):
            if trial.episode != episode:
                raise JournalError(
                    f"{self._path} line {episode + 2} is episode {trial.episode}, not {episode}"
                )
        return trials


def _open_locked(path: Path) -> BinaryIO:
    file = path.open("ab+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise JournalError(f"another process searches in {path.parent}") from None
    return file


def _whole_lines(file: BinaryIO) -> list[bytes]:
    """The lines of a file; what follows the last line end is cut off, in the file too."""
    file.seek(0)
    data = file.read()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        file.truncate(whole)
    return data[:whole].splitlines()


def _append(file: BinaryIO, fields: Mapping[str, Any]) -> None:
    file.write(json.dumps(fields).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def _object(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise JournalError(f"{path} line {number} is damaged: {error}") from None


def _trials(path: Path, lines: list[bytes], first_line: int = 1) -> list[Trial]:
    found = []
    for number, line in enumerate(lines, start=first_line):
        try:
            found.append(trial_from_object(_object(path, number, line)))
        except TrialError as error:
            raise JournalError(f"{path} line {number} is damaged: {error}") from None
    return found


def _check_plan(path: Path, found: Any, expected: Mapping[str, Any]) -> None:
    if not isinstance(found, dict) or "format" not in found:
        raise JournalError(f"{path} is not the journal of a search")
    for name, value in expected.items():
        if found.get(name) != value:
            raise JournalError(
                f"{path} is of another search: its {name} is {_brief(found.get(name))}, "
                f"here it is {_brief(value)}"
            )


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
