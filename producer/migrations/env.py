"""Alembic's environment: it runs our migrations on the given connection, or prints them as a script."""

from alembic import context

from producer.migrations import VERSION_TABLE

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", version_table=VERSION_TABLE, literal_binds=True)
else:
    context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)

with context.begin_transaction():
    context.run_migrations()
