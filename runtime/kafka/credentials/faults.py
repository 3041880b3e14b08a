"""Why a connection has no credentials. Both are OSErrors, because aiokafka then tries again, as after any failure."""


class CredentialsUnavailable(OSError):
    """The credentials can't be had now. The message names the variable."""


class CredentialsRefused(CredentialsUnavailable):
    """What issues the credentials refuses to: other settings are needed, or a change there."""
