"""Recovery: after a restore, or a failover that lost transactions, the outbox continues where the topics end."""
