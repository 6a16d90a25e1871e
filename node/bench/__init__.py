"""Measurements of a node under load; `ponas bench` runs them."""
