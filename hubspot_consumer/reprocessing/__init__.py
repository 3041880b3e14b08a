"""Reprocessing: replay, resync, redrive and audit, which project the topics again while the workers run."""
