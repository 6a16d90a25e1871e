"""What a design turns out to be worth, without training it.

`Recorded` resamples real searches; `Modelled` draws from curves fitted to them, so that it goes
beyond what was recorded. Both are functions of the search (its 64-bit seed), of the episode and
of 64 random bits for it.
"""

from __future__ import annotations

import bisect
import math
from pathlib import Path
from statistics import fmean, pstdev
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from pool.simulation.draws import Topic, bits, normal, uniform
from pool.simulation.scenario import RewardKind, RewardSource, ScenarioError

SHIPPED = Path(__file__).parent / "data" / "digits.json"
"""20 searches of 80 episodes and 60 times 12 improvements, recorded by `tools.record_rewards`."""

WINDOW = 8
"""Episodes to both sides among which a recorded reward is drawn."""

NEIGHBOURS = 32
"""Recorded improvements, of the bases most alike, among which one is drawn."""

QUANTILES = 200
"""Of the noise around a fitted curve, and of multiply-accumulates."""

_Floats = npt.NDArray[np.float64]

USELESS = 0.2
"""A subspace whose best recorded reward is below this holds nothing but guessing."""


class Recording(Struct, frozen=True, forbid_unknown_fields=True):
    """Real results: (correct, multiply-accumulates) of searches, episode by episode.

    `improvements` are chains of (base, correct): the count of the design trained on from, and of
    what came of it. Counts are of `images`; an untrained design has 0 multiply-accumulates.
    """

    made_by: str
    images: int
    classes: int
    searches: tuple[tuple[tuple[int, int], ...], ...]
    improvements: tuple[tuple[tuple[int, int], ...], ...]


class Outcome(NamedTuple):
    """`correct` images, by a design of `macs` multiply-accumulates; 0 if it needs no training."""

    correct: int
    macs: int


class Rewards(Protocol):
    """The results of `images` validation images each."""

    @property
    def images(self) -> int:
        """Validation images."""
        ...

    def result(self, search: int, episode: int, draw: int) -> Outcome:
        """What the design of an episode gives in a search, by 64 random bits."""
        ...

    def improvement(self, base: int, seed: int, attempt: int) -> int:
        """The count after an attempt to train on from a design that counts `base`."""
        ...


def read_rewards(source: RewardSource) -> Rewards:
    """The rewards that a scenario asks for. Raises ScenarioError for a file without them."""
    path = Path(source.file) if source.file else SHIPPED
    try:
        recording = msgspec.json.decode(path.read_bytes(), type=Recording)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ScenarioError(f"{path}: {error}") from None
    _check(path, recording)
    return Recorded(recording) if source.kind is RewardKind.RECORDED else fit(recording)


class Recorded:
    """A search is one of the recorded ones; episode e gives one of its results around e.

    Beyond the end it goes on as in its last 2 x WINDOW + 1 episodes. An improvement moves the
    count as one of the NEIGHBOURS recorded ones did whose bases are most alike.
    """

    def __init__(self, recording: Recording) -> None:
        self.images = recording.images
        # Of each search and episode the results that may come of it.
        self._around = tuple(_around([Outcome(*each) for each in s]) for s in recording.searches)
        pairs = sorted(pair for chain in recording.improvements for pair in chain)
        self._bases = [base for base, _ in pairs]
        self._gains = [correct - base for base, correct in pairs]

    def result(self, search: int, episode: int, draw: int) -> Outcome:
        """Implements `Rewards`."""
        # A search's seed is a hash already.
        around = self._around[search % len(self._around)]
        alike = around[episode] if episode < len(around) else around[-1]
        return alike[draw % len(alike)]

    def improvement(self, base: int, seed: int, attempt: int) -> int:
        """Implements `Rewards`."""
        middle = bisect.bisect(self._bases, base)
        first = max(0, min(middle - NEIGHBOURS // 2, len(self._bases) - NEIGHBOURS))
        alike = self._gains[first : first + NEIGHBOURS]
        gain = alike[bits(Topic.IMPROVEMENT, seed, attempt) % len(alike)]
        return min(self.images, max(0, base + gain))


def _around(results: list[Outcome]) -> tuple[tuple[Outcome, ...], ...]:
    """For each episode the results from up to WINDOW before to as many after it; the last episode
    has those of a whole window."""
    around = []
    for episode in range(len(results)):
        middle = min(episode, len(results) - 1 - WINDOW)
        around.append(tuple(results[max(0, middle - WINDOW) : max(middle, 0) + WINDOW + 1]))
    return tuple(around)


class Modelled(Struct, frozen=True):
    """The count in episode e of search s is top / (1 + exp(-x)) with

        x = quality(s) + gain * (1 - exp(-e / episodes)) + noise,

    quality(s) ~ Normal(quality, quality_spread), `noise` one of QUANTILES evenly spread quantiles
    of what a least-squares fit leaves over (bad designs lie further below than good ones above);
    but a share `useless` of the subspaces gives guesses only, images / classes. Training on from a
    count with logit y gives the logit y + Normal(lift + lift_slope * y, lift_noise).
    Multiply-accumulates are one of as many quantiles of the recorded ones. `top` is the best count
    ever recorded: a task has a ceiling, and logits of shares of all images would see none.
    """

    images: int
    top: int
    classes: int
    useless: float
    quality: float
    quality_spread: float
    gain: float
    episodes: float
    noise: tuple[float, ...]
    lift: float
    lift_slope: float
    lift_noise: float
    macs: tuple[int, ...]

    def result(self, search: int, episode: int, draw: int) -> Outcome:
        """Implements `Rewards`."""
        macs = self.macs[(draw >> 32) % QUANTILES]
        if uniform(Topic.QUALITY, search, 0) < self.useless:
            return Outcome(self.images // self.classes, macs)
        x = self.quality + self.quality_spread * normal(Topic.QUALITY, search, 1)
        x += self.gain * (1 - math.exp(-episode / self.episodes))
        x += self.noise[draw % QUANTILES]
        return Outcome(self._count(x), macs)

    def improvement(self, base: int, seed: int, attempt: int) -> int:
        """Implements `Rewards`."""
        y = _logit(base, self.top)
        lift = self.lift + self.lift_slope * y
        return self._count(y + lift + self.lift_noise * normal(Topic.IMPROVEMENT, seed, attempt))

    def _count(self, x: float) -> int:
        return min(self.top, math.floor((self.top + 1) / (1 + math.exp(-x))))


def fit(recording: Recording) -> Modelled:
    """The model of a recording: averages, standard deviations and least squares.

    `episodes`, the only parameter that the curve is not linear in, is the best of 1 to 100.
    """
    counts = [max(search)[0] for search in recording.searches]
    pairs = [pair for chain in recording.improvements for pair in chain]
    top = max(counts + [correct for _, correct in pairs])
    least = USELESS * recording.images
    trained = [
        [(at, correct, macs) for at, (correct, macs) in enumerate(search) if macs]
        for search in recording.searches
        if max(search)[0] >= least
    ]
    rewards = [np.array([_logit(correct, top) for _, correct, _ in search]) for search in trained]
    times = [np.array([at for at, _, _ in search], dtype=float) for search in trained]
    curves = [_curve(times, rewards, episodes) for episodes in range(1, 101)]
    curve = min(curves, key=lambda curve: float(curve.noise.std()))
    pairs = [pair for pair in pairs if pair[0] >= least]
    bases = np.array([_logit(base, top) for base, _ in pairs])
    lifts = np.array([_logit(correct, top) for _, correct in pairs]) - bases
    slope, lift = np.polyfit(bases, lifts, 1)
    macs = [macs for search in trained for _, _, macs in search]
    return Modelled(
        images=recording.images,
        top=top,
        classes=recording.classes,
        useless=1 - len(trained) / len(recording.searches),
        quality=fmean(curve.qualities),
        quality_spread=pstdev(curve.qualities),
        gain=curve.gain,
        episodes=curve.episodes,
        noise=tuple(_quantiles(curve.noise)),
        lift=float(lift),
        lift_slope=float(slope),
        lift_noise=float(np.std(lifts - slope * bases - lift)),
        macs=tuple(round(each) for each in _quantiles(macs)),
    )


class _Curve(NamedTuple):
    episodes: float
    gain: float
    qualities: list[float]
    noise: _Floats


def _curve(times: list[_Floats], rewards: list[_Floats], episodes: float) -> _Curve:
    """Least squares with one quality for each search and one gain for all."""
    shapes = [1 - np.exp(-each / episodes) for each in times]
    deviations = np.concatenate([shape - shape.mean() for shape in shapes])
    gain = float(deviations @ np.concatenate(rewards) / (deviations @ deviations))
    levels = [each - gain * shape for each, shape in zip(rewards, shapes, strict=True)]
    noise = np.concatenate([level - level.mean() for level in levels])
    return _Curve(episodes, gain, [float(level.mean()) for level in levels], noise)


def _quantiles(values: _Floats | list[int]) -> list[float]:
    return [float(each) for each in np.quantile(values, np.linspace(0, 1, QUANTILES))]


def _logit(correct: int, top: int) -> float:
    """Half an image away from none and all, where it would be infinite."""
    return math.log((correct + 0.5) / (top - correct + 0.5))


def _check(path: Path, recording: Recording) -> None:
    counts = [correct for search in recording.searches for correct, _ in search]
    counts += [count for chain in recording.improvements for pair in chain for count in pair]
    if not any(macs for search in recording.searches for _, macs in search):
        raise ScenarioError(f"{path}: no search holds a trained design")
    if not all(recording.searches) or not any(recording.improvements):
        raise ScenarioError(f"{path}: a search or all improvements are empty")
    if not all(0 <= count <= recording.images for count in counts):
        raise ScenarioError(f"{path}: a count is not one of 0 to {recording.images} images")
