"""Faults of the simulated HubSpot, and the test API that adds them."""
