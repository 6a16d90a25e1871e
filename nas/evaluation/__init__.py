"""Exact evaluation of an integer model, its canonical bytes, and its export."""
