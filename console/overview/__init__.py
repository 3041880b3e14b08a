"""The overview: what the console asks everything that events pass through, and what it makes of the answers."""
