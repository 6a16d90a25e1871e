"""What a pool shows and its miners keep, so that pay can be checked by whoever earned it."""
