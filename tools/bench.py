"""Measures PoNAS on this machine: `make bench`, or `python tools/bench.py [NAME...] [--json]`.

Without names everything is measured, in about fifteen minutes, and docs/benchmarks gets a report.
"""

if __name__ == "__main__":
    # Not at the top: a spawned worker, whose memory is measured, runs the top of this file too.
    from tools.benchmarks.command import main

    main()
