"""Measurements of the worker: its rate, memory and CPU, and what Faust and receipts cost."""
