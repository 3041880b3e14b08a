"""The person who uses the console, and their role."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["reader", "operator"]


@dataclass(frozen=True)
class Person:
    """A person and their role. *name* comes from a proxy, or names the token that the person signed in with."""

    name: str
    role: Role

    @property
    def may_act(self) -> bool:
        return self.role == "operator"
