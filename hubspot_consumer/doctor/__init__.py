"""The doctor: it checks everything between the outbox and HubSpot, and reports the faults and their remedies."""
