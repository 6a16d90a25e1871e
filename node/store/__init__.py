"""What a node keeps over a restart, in RocksDB or memory. May import `node.errors` only."""
