"""Moving over from the worker that this replaces: its table, its rows, and tracking them as events."""
