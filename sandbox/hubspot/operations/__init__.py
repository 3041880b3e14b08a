"""The operations of the simulated HubSpot API."""
