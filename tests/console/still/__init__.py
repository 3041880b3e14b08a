"""A console that stands still: the real one, served over HTTP, at one moment of a day that never changes.

Its Kafka, database, services and HubSpot are records, texts and the simulator, in this process. So its pages are the
same each time, to be measured, looked at and compared.
"""
