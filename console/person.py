"""Who uses the console, and what that person may do."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["reader", "operator"]


@dataclass(frozen=True)
class Person:
    """Who looks at a page, and what they may do. *name* is of a proxy, or says which token was shown."""

    name: str
    role: Role

    @property
    def may_act(self) -> bool:
        return self.role == "operator"
