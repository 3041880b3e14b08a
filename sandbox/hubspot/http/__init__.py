"""How the simulated HubSpot is called: routes, tokens, quota, the log of requests, its page."""
