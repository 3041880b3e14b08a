"""The worker: how its parts are wired, and its life from start to stop."""
