"""Provisioning: the properties and event definitions that a portal lacks, and their creation."""
