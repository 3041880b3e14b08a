"""The operations on contacts: one, many, by a search or as a file, and the two that leave fewer."""
