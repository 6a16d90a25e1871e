"""How what a node shows is read from its parts: `node.views` by subject, under the same names."""
