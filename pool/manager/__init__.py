"""The manager: serves miners, confirms what comes back, knows the best."""
