"""The neural architecture search that mining consists of.

`designs` says what may be searched, `strategies` search it, `training` makes models of designs on
`data` with `networks`, `evaluation` counts what a model gets right, `execution` runs such jobs in
worker processes or on a GPU, `searching` is a whole search on one machine, `bench` measures all
of it. `task` and `jobs` are what others talk to the engine in.

There is no network and no chain here. Only what trains or evaluates imports PyTorch, so that a
node process, which plans, judges and talks to workers, stays small.
"""
