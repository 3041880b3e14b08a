"""The doctor: looks at everything between the outbox and HubSpot, and says what is wrong and what to do."""
