"""Commands that prepare a portal, or ask it what it does."""
