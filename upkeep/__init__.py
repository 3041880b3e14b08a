"""What keeps the repository right beside its tests: what is made from the code, and what is known of its libraries."""
