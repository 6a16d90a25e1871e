"""Data sets: pinned bytes in the package, and what people bring."""
