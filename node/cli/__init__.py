"""Command lines: `daemon` is `ponas-node`, `client` is `ponas`. May import all of `node`."""
