"""Who searches where: the search space cut into subspaces (paper section 3.2.3)."""
