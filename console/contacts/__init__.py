"""Contacts: the data of one contact on Kafka, in the outbox and at HubSpot."""
