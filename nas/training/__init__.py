"""Training of a design under a protocol, and what its result depends on."""
