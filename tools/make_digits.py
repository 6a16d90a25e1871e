"""Write nas/data/digits.bin from scikit-learn's copy of the UCI optical digits (1,797 images).

The file holds the images (8 x 8 bytes each, values 0 to 16) and then the labels (one byte each),
in the order train, validation, test. The split is stratified: of each class 36 images go to the
test split, 36 to validation, the rest to training, so a constant guess scores exactly one in ten.
Images are ordered by a hash of their index, which no library version can change.

Run from the repository root: python -m tools.make_digits
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

HELD_OUT_PER_CLASS = 36
TARGET = Path("nas/data/digits.bin")


def order(index: int) -> bytes:
    """The key that shuffles the images."""
    return hashlib.blake2b(b"ponas digits" + index.to_bytes(4, "little"), digest_size=8).digest()


def main() -> None:
    """Write the file and print its hash, which nas/data/datasets.py pins."""
    source = load_digits()
    images = source.images.astype(np.uint8)
    labels = source.target.astype(np.uint8)
    shuffled = sorted(range(len(labels)), key=order)
    splits: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    seen = [0] * 10
    for index in shuffled:
        rank = seen[labels[index]] // HELD_OUT_PER_CLASS
        seen[labels[index]] += 1
        splits[("test", "validation", "train")[min(rank, 2)]].append(index)
    chosen = [index for split in splits.values() for index in split]
    data = images[chosen].tobytes() + labels[chosen].tobytes()
    TARGET.write_bytes(data)
    sizes = {name: len(split) for name, split in splits.items()}
    print(f"{TARGET}: {len(data)} bytes, {sizes}")
    print(hashlib.blake2b(data, digest_size=32).hexdigest())


if __name__ == "__main__":
    main()
