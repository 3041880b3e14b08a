"""Measurements of delivery: calls used, and latency."""
