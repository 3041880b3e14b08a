"""The dead letters as the console keeps and groups them."""
