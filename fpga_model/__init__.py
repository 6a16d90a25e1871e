"""What a quantised convolutional network costs on an FPGA: look-up tables, cycles, schedule.

A compute-only analytical model of a dataflow accelerator (paper section 4.1.2). Read it in this
order: `layer` (what a layer is), `luts` (one engine's price, term by term), `tiles` (the engines
worth building for a layer), `schedule` (the best sequence of engine groups), `profile` (limits)
and `estimate` (the verdict). Everything is exact integer arithmetic, so that every node gives the
same verdict. Weight storage, line buffers, pooling, the classifier and control are not priced.

May import: numpy and the standard library, nothing else of this repository.
"""
