"""A whole search on this machine: plan, trials, journal, the loop around them, and its results."""
