"""What a node keeps over a restart, in RocksDB or memory. Imports `node.errors`, `node.files`."""
