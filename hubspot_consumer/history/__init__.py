"""What the topics say of each contact, read again from a time on."""
