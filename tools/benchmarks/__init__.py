"""Benchmarks of PoNAS on the CPU, each a function from size, seed and clock to figures.

Those of the engine are in `nas.bench` and those of the node in `node.bench`, which `ponas bench`
shares; here `synthesis`, `training` and `processes` measure, `report` and `command` show. Linux
only: memory and processor time of other processes are read from /proc.
"""
