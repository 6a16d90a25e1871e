"""A whole pool in virtual time: the manager's own decisions, simulated miners, rewards by model."""
