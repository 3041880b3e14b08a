"""Reprocessing: replay, resync, redrive and audit, which fold the topics again beside running workers."""
