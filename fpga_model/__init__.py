"""What a quantised convolutional network costs on an FPGA: look-up tables, cycles, schedule.

An analytical model of a dataflow accelerator (paper section 4.1.2). Read it in this order: `layer`
(what a layer is), `luts` (one engine's price, term by term), `tiles` (the engines worth building
for a layer), `schedule` (the best sequence of engine groups), `profile` (limits) and `estimate`
(the verdict). That much prices arithmetic alone, as the paper does.

Profiles of devices go on: `network` (what surrounds the convolutions), `memory`, `engines` (with
weight storage, line buffers, pooling, control, classifier), `placement` (the best sequence on LUTs
and block RAMs, with reconfiguration) and `device` (the verdict of any profile). `breakdown` says
where the LUTs go.

Everything is exact integer arithmetic, so that every node gives the same verdict.

May import: numpy and the standard library, nothing else of this repository.
"""
