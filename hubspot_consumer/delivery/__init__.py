"""From lanes that are ready to calls to HubSpot, and what came of each event."""
