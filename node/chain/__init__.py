"""The consensus rules of PoNAS as pure functions of their arguments.

Imports only the standard library and PyNaCl: no clock, no randomness, no network,
no storage, nothing of ``nas`` or ``pool``. What needs a model (the exact count) or
the search space (the verdict on a genotype) comes in as an argument.
``docs/protocol.md`` is the same in prose, precise enough for a second implementation.
"""
