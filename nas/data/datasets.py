"""Data sets by name.

| name | what | pinned by |
|---|---|---|
| `digits` | in the package, see below | its hash, in this file |
| `procedural[:SEEDS]` | drawn from seeds, see `nas.data.procedural` | the seeds |
| `cifar10`, `mnist` | through torchvision, downloaded once | MD5 of the archives, in torchvision |
| `folder:PATH` | `PATH/train/CLASS/*` and `PATH/test/CLASS/*`, images of one size | `@HASH` |
| `arrays:PATH` | an .npz file, see `nas.data.sources.read_arrays` | `@HASH` |
| `published:...` | data of a published task, see `nas.data.published` | the name |

`@` and the 64 hexadecimal digits of the content hash may follow any name; other bytes are then
refused. What was downloaded or brought is decoded once and kept in the cache (`nas.data.stored`),
whose bytes are checked against their hash at every start.

`digits` is the UCI "Optical Recognition of Handwritten Digits" test set (1,797 grey images of
8 x 8 pixels, values 0 to 16), as scikit-learn ships it. Its split is stratified: 36 images of each
class in the test split, 36 in validation, the rest in training; tools/make_digits.py writes it.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from importlib import resources

import numpy as np

from nas.data import procedural, published, stored
from nas.data.dataset import Dataset as Dataset
from nas.data.dataset import DatasetError as DatasetError
from nas.data.dataset import DatasetInfo as DatasetInfo
from nas.data.dataset import Source, decode
from nas.data.dataset import Split as Split
from nas.designs.shapes import InputShape

_DIGITS = Source(
    info=DatasetInfo("digits", InputShape(1, 8, 8), 10, 1077, 360, 360),
    content_hash="e551598ea3ba759d75a719365ffe5a628b78caaafd2d73ab115f37993a8ddd4e",
    full_scale=16,
    means=(Fraction("0.3045"),),
    deviations=(Fraction("0.3753"),),
)
_PINNED = re.compile(r"(.+)@([0-9a-f]{64})")


def describe(name: str) -> DatasetInfo:
    """Shape, classes and sizes; data that is new here is decoded for it, once.

    Raises DatasetError for an unknown name or data that cannot be had or used.
    """
    return _source(name).info


def content_hash(name: str) -> str:
    """The hash that pins the data set, in hexadecimal. Raises DatasetError as `describe` does."""
    return _source(name).content_hash


@lru_cache(maxsize=4)
def load(name: str) -> Dataset:
    """The data set, read once per process.

    Raises DatasetError for an unknown name, for data that cannot be had or used, or when the
    stored bytes are not the pinned ones.
    """
    if published.is_name(name):
        return published.load(name)
    source = _source(name)
    if source is _DIGITS:
        data = (resources.files("nas") / "data" / "digits.bin").read_bytes()
        return decode(source, np.frombuffer(data, np.uint8))
    if procedural.is_name(source.info.name):
        return procedural.make(source)
    return decode(source, stored.read(source))


@lru_cache(maxsize=16)
def _source(name: str) -> Source:
    plain, pin = name, ""
    if match := _PINNED.fullmatch(name):
        plain, pin = match.groups()
    if plain == _DIGITS.info.name:
        source = _DIGITS
    elif procedural.is_name(plain):
        source = procedural.find(plain)
    elif stored.is_name(plain):
        source = stored.find(plain)
    elif published.is_name(plain):
        source = published.find(plain)
    else:
        known = (_DIGITS.info.name, "procedural[:SEEDS]", *stored.NAMES, "published:...")
        names = ", ".join(known)
        raise DatasetError(f"no data set is called {name!r}; there are {names}")
    if pin and pin != source.content_hash:
        raise DatasetError(f"{plain} has the content hash {source.content_hash}, not {pin}")
    return source
