"""What a test makes the simulated HubSpot do wrong, and how it says so."""
