"""Tasks that people publish: their terms, their place in the queue, their money, their secrets."""
