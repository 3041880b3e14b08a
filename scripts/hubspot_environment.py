"""The HUBSPOT_* variables that are exported here, and the environment of a service that they change."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from aws_json import NO, YES, harmless, hidden, refuse, stop

ENABLED: Final = "HUBSPOT_ENABLED"
SEND_LIVE: Final = "HUBSPOT_SEND_LIVE"
TOKEN: Final = "HUBSPOT_PRIVATE_APP_TOKEN"  # noqa: S105 - a variable's name
PORTAL_ID: Final = "HUBSPOT_PORTAL_ID"
SECRET_ARN: Final = "HUBSPOT_TOKEN_SECRET_ARN"  # noqa: S105 - a variable's name
NAMES: Final = (ENABLED, SEND_LIVE, TOKEN, PORTAL_ID)

# A secret may name a key of its JSON and a version behind its own name.
SECRET: Final = re.compile(
    r"arn:aws[\w-]*:(secretsmanager:[\w-]+:\d{12}:secret:[\w/+=.@:-]+|ssm:[\w-]+:\d{12}:parameter/[\w./-]+)"
)


class Environment:
    """The two maps in which a service keeps its environment: plain variables, and secrets by the ARN of each."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.variables: Final[dict[str, str]] = dict(configuration.get("RuntimeEnvironmentVariables") or {})
        self.secrets: Final[dict[str, str]] = dict(configuration.get("RuntimeEnvironmentSecrets") or {})

    def has(self, name: str) -> bool:
        return name in self.secrets or bool(self.variables.get(name))

    def on(self, name: str) -> bool:
        """Return whether a switch is on. Nobody here knows what a secret holds: it counts as on."""
        return name in self.secrets or truth(name, self.variables.get(name) or "false")

    def same(self, name: str, other: Environment) -> bool:
        mine, theirs = (
            (environment.variables.get(name), environment.secrets.get(name)) for environment in (self, other)
        )
        return mine == theirs

    def shown(self, name: str) -> str:
        """Return what the service has by that name, for a person to read. A token is hidden."""
        if name in self.secrets:
            return f"secret {self.secrets[name]}"
        value = self.variables.get(name)
        if not value:
            return "(not set)"
        # Whatever else stands in the wrong variable may be a token too.
        return value if name != TOKEN and harmless(value) else hidden(value)

    def put(self, into: dict[str, Any]) -> None:
        """Write both maps into a configuration; one that is empty, and was not there, stays away."""
        for key, values in (
            ("RuntimeEnvironmentVariables", self.variables),
            ("RuntimeEnvironmentSecrets", self.secrets),
        ):
            if values or key in into:
                into[key] = values


def exported() -> dict[str, str]:
    """Return what is exported, in the form in which a service gets it. An empty variable counts as not set."""
    values = {name: os.environ[name] for name in (*NAMES, SECRET_ARN) if os.environ.get(name)}
    for name in (ENABLED, SEND_LIVE):
        if name in values:
            values[name] = "true" if truth(name, values[name]) else "false"
    if PORTAL_ID in values and not re.fullmatch(r"[1-9][0-9]*", values[PORTAL_ID]):
        refuse(f"{PORTAL_ID}: should be the portal's number")
    if TOKEN in values and not re.fullmatch(r"[!-~]+", values[TOKEN]):
        refuse(f"{TOKEN}: holds white space, or what no token does")
    if SECRET_ARN in values and not SECRET.fullmatch(values[SECRET_ARN]):
        refuse(f"{SECRET_ARN}: should be the ARN of a secret (Secrets Manager) or of a parameter (SSM)")
    if TOKEN in values and SECRET_ARN in values:
        refuse(f"{TOKEN} and {SECRET_ARN} are both set: set one")
    if values.get(SEND_LIVE) == "true" and values.get(ENABLED) == "false":
        refuse(f"{SEND_LIVE} is true but {ENABLED} is not: set {ENABLED}=true")
    return values


def merge(values: dict[str, str], environment: Environment, *, has_role: bool) -> None:
    """Change in *environment* what is exported, and nothing else. Refuses what the consumer would not start with."""
    for name in (name for name in NAMES if name in values):
        if name in environment.secrets:
            refuse(
                f"{name}: the service has it from {environment.secrets[name]}; change it there, then deploy"
                f" (for another secret: {SECRET_ARN})"
            )
        environment.variables[name] = values[name]
    if SECRET_ARN in values:
        if not has_role:
            stop(
                f"{SECRET_ARN}: the service has no instance role, and App Runner reads secrets by it:"
                " give it one that may read this one"
            )
        environment.variables.pop(TOKEN, None)
        environment.secrets[TOKEN] = values[SECRET_ARN]
    _refuse_half_live(environment)


def _refuse_half_live(environment: Environment) -> None:
    if not environment.on(SEND_LIVE):
        return
    if not environment.on(ENABLED):
        refuse(f"{SEND_LIVE} is true but {ENABLED} is not: set {ENABLED}=true")
    for name, or_else in ((TOKEN, f" (nor {SECRET_ARN})"), (PORTAL_ID, "")):
        if not environment.has(name):
            refuse(f"{name} is not set{or_else}, here or in the service, and {SEND_LIVE}=true needs it")


def truth(name: str, value: str) -> bool:
    if value.lower() not in YES | NO:
        refuse(f"{name}: should be true or false")
    return value.lower() in YES
