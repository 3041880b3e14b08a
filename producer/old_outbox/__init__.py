"""The move from the old worker: its table, its rows, and tracking them as events."""
