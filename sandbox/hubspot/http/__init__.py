"""The HTTP side of the simulated HubSpot: routes, tokens, quota, request log and web page."""
