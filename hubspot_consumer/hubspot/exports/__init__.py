"""Exports: HubSpot writes the properties of all contacts into a file, for a few calls whatever their number."""
