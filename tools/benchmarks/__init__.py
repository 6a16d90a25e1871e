"""Benchmarks of PoNAS on the CPU, each a function from size, seed and clock to figures.

`figures` says what a figure is, `machine` where it was measured; `fpga`, `search`, `training`,
`blocks` and `processes` measure; `report` and `command` show. Linux only: memory and processor
time of other processes are read from /proc.
"""
