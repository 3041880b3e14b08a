"""Maintenance of the repository: generated files, advisories of libraries, code layout, and tests on all Pythons."""
