"""What a manager knows, how events change it, and what it shows of it."""
