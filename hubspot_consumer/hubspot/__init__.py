"""HubSpot's edge: paths, client, pacing, and the one reader of its answers."""
