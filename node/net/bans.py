"""Who is not listened to: conduct by key and by host, and the bans that come of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.chain.errors import Rejected
from node.clock import Clock
from node.net.addresses import Reach, host_of, reach_of
from node.net.conduct import BAN_MS, Conduct, Verdict, blame, judge
from node.net.protocol import Refused

# The oldest are forgotten beyond these: who fills them with keys and hosts sheds earlier points.
_MAX_CONDUCTS = 2_048
_MAX_BANS = 1_024


@dataclass(frozen=True)
class Ban:
    """`subject` is a public key in hexadecimal or a host; `until_ms` is Unix time."""

    subject: str
    reason: str
    until_ms: int


class Bans:
    """Judges peers by what they do.

    A host on this machine is never banned, since many nodes share it; a trusted peer is dropped
    but not banned at all.

    Args:
        clock: on which points fade and bans end.
        bans: those of an earlier run.
        on_change: told of all bans whenever there is a new one.
    """

    def __init__(
        self, clock: Clock, bans: Sequence[Ban], on_change: Callable[[Sequence[Ban]], None]
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._bans = OrderedDict((ban.subject, ban) for ban in bans)
        self._conducts: OrderedDict[str, Conduct] = OrderedDict()

    def blame(
        self,
        error: Refused | Rejected,
        remote: str,
        public_key: bytes | None = None,
        *,
        is_trusted: bool = False,
    ) -> Verdict:
        """Hold an offence against a peer; without a key if it has proved none yet."""
        now_ms = self._clock.now_ms()
        subjects = _subjects(remote, public_key)
        for subject in subjects:
            conduct = self._conducts.pop(subject, Conduct())
            self._conducts[subject] = blame(conduct, error, now_ms)
        verdict = max(
            (judge(self._conducts[subject], now_ms) for subject in subjects), default=Verdict.KEEP
        )
        while len(self._conducts) > _MAX_CONDUCTS:
            self._conducts.popitem(last=False)
        if is_trusted:
            return min(verdict, Verdict.DROP)
        if verdict is Verdict.BAN:
            self._ban(subjects, error.reason)
        return verdict

    def is_banned(self, remote: str, public_key: bytes | None = None) -> bool:
        """Whether a peer's host or key is banned at present."""
        now_ms = self._clock.now_ms()
        bans = (self._bans.get(subject) for subject in _subjects(remote, public_key))
        return any(ban is not None and now_ms < ban.until_ms for ban in bans)

    def lift(self, subject: str) -> bool:
        """Listen to a key in hexadecimal or a host again; whether it was banned."""
        was_banned = any(ban.subject == subject for ban in self.bans())
        self._bans.pop(subject, None)
        self._conducts.pop(subject, None)
        if was_banned:
            self._on_change(self.bans())
        return was_banned

    def conduct_of(self, public_key: bytes) -> Conduct:
        """What is held against a key."""
        return self._conducts.get(public_key.hex(), Conduct())

    def bans(self) -> tuple[Ban, ...]:
        """Those in force."""
        now_ms = self._clock.now_ms()
        return tuple(ban for ban in self._bans.values() if now_ms < ban.until_ms)

    def _ban(self, subjects: Sequence[str], reason: str) -> None:
        until_ms = self._clock.now_ms() + BAN_MS
        for subject in subjects:
            self._bans.pop(subject, None)
            self._bans[subject] = Ban(subject, reason, until_ms)
        while len(self._bans) > _MAX_BANS:
            self._bans.popitem(last=False)
        self._on_change(self.bans())


def _subjects(remote: str, public_key: bytes | None) -> list[str]:
    subjects = [] if public_key is None else [public_key.hex()]
    return subjects if reach_of(remote) is Reach.MACHINE else [*subjects, host_of(remote)]
