"""The miner: connects to a manager and works on what it is given."""
