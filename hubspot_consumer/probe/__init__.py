"""The probe: it asks the real portal, with a test contact, whether HubSpot does what the client relies on."""
