"""Benchmarks of the engine, each a function from sizes, seed and clock to figures.

`figures` says what a figure is, `machine` where it was measured. Linux only: memory is read from
/proc.
"""
