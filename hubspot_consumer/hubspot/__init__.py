"""The interface to HubSpot: its paths, the client, the rate limiter, and the readers of its answers."""
