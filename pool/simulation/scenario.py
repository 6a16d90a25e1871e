"""What a simulated pool is made of, read from a TOML file and checked as a whole."""

from __future__ import annotations

from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pool.records.strengths import Strength

MAX_MINERS, MAX_ROUNDS = 100_000, 10_000
"""Of a whole scenario: beyond them a run takes hours or the machine's memory."""

_Share = Annotated[float, Meta(ge=0, le=1)]
_NotNegative = Annotated[float, Meta(ge=0, le=1e6)]
_Positive = Annotated[float, Meta(gt=0, le=1e6)]
_Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class ScenarioError(ValueError):
    """A file that is no scenario; the message is one sentence."""


class Cheat(StrEnum):
    """What a dishonest miner does."""

    INVENTS = "invents"
    """Claims counts just below the pool's best, with hashes of models that don't exist."""

    REPLAYS = "replays"
    """Claims the model of the pool's best as the result of each of its own designs."""

    UNTRAINED = "untrained"
    """Sends models as they are before training, as if they had had all epochs."""

    DEFECTS = "defects"
    """Searches in its lease and commits the best that it finds under its own key."""


class RewardKind(StrEnum):
    """Where rewards come from; see `pool.simulation.rewards`."""

    RECORDED = "recorded"
    MODELLED = "modelled"


class MinerClass(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """So many miners of one kind.

    `candidates_per_s` is the median speed, `spread` the standard deviation of its logarithm over
    the miners. A miner leaves `departures_per_hour` times an hour, on average, and stays away for
    `away_s`, on average; of its departures the share `silent` is noticed only by missing
    heartbeats. `cheat` is what it does from its `cheats_after`-th result on.
    """

    name: Annotated[str, Meta(min_length=1, max_length=32)]
    miners: Annotated[int, Meta(ge=1, le=MAX_MINERS)]
    strength: Strength
    candidates_per_s: _Positive
    spread: Annotated[float, Meta(ge=0, le=3)] = 0.0
    departures_per_hour: _NotNegative = 0.0
    away_s: _Seconds = 300.0
    silent: _Share = 0.0
    cheat: Cheat | None = None
    cheats_after: Annotated[int, Meta(ge=0)] = 0


class RewardSource(Struct, frozen=True, forbid_unknown_fields=True):
    """Kind of rewards, and the file of recorded ones (default: the shipped digits)."""

    kind: RewardKind
    file: str | None = None


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pool for `rounds` rounds of `train_s` each, with `pause_s` between two.

    Every subspace holds `designs` designs. The manager takes `confirm_ms` to fetch and count a
    model, and again to fetch weights; audits share its `audits_per_s`.
    """

    title: Annotated[str, Meta(min_length=1, max_length=80)]
    rounds: Annotated[int, Meta(ge=1, le=MAX_ROUNDS)]
    train_s: _Seconds
    pause_s: _Seconds = 10.0
    designs: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    confirm_ms: Annotated[int, Meta(ge=0, le=60_000)] = 300
    rewards: RewardSource
    classes: Annotated[tuple[MinerClass, ...], Meta(min_length=1, max_length=32)]

    @property
    def miners(self) -> int:
        """Miners of all classes."""
        return sum(kind.miners for kind in self.classes)


def read_scenario(path: Path) -> Scenario:
    """The scenario of a TOML file; a reward file in it is relative to the file.

    Raises ScenarioError.
    """
    try:
        scenario = msgspec.toml.decode(path.read_bytes(), type=Scenario)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScenarioError(f"{path}: {error}") from None
    _check(path, scenario)
    if scenario.rewards.file is None:
        return scenario
    rewards = RewardSource(scenario.rewards.kind, str(path.parent / scenario.rewards.file))
    return msgspec.structs.replace(scenario, rewards=rewards)


def find_scenario(name: str) -> Path:
    """A file, or a shipped scenario by its name. Raises ScenarioError."""
    if (path := Path(name)).suffix == ".toml":
        return path
    shipped = Path(str(resources.files("pool.simulation"))) / "scenarios"
    if (path := shipped / f"{name}.toml").is_file():
        return path
    names = ", ".join(sorted(each.stem for each in shipped.glob("*.toml")))
    raise ScenarioError(f"no scenario is called {name!r}; there are {names}, and .toml files")


def _check(path: Path, scenario: Scenario) -> None:
    names = [kind.name for kind in scenario.classes]
    if len(set(names)) < len(names):
        raise ScenarioError(f"{path}: two classes have the same name")
    if scenario.miners > MAX_MINERS:
        raise ScenarioError(f"{path}: there are more than {MAX_MINERS} miners")
