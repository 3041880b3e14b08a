"""Contacts: what Kafka, the outbox and HubSpot hold of one of them."""
