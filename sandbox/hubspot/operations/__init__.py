"""What each call to the simulated HubSpot does."""
