"""The console's cache and groups of dead letters."""
