"""What follows from what: pure functions from a pool's state and an input to events."""
