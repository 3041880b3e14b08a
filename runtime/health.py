"""Health: the unhealthy parts of a service, each with a message that says what to do."""

from runtime.logs import log


class Health:
    """The unhealthy parts; empty if there are none. A change is logged once, not at each check."""

    def __init__(self) -> None:
        self.unwell: dict[str, str] = {}

    def is_ill(self, part: str) -> bool:
        return part in self.unwell

    def well(self, part: str) -> None:
        if self.unwell.pop(part, None) is not None:
            log.info("health.well_again", part=part)

    def ill(self, part: str, why: str) -> None:
        if self.unwell.get(part) != why:
            log.warning("health.unwell", part=part, why=why)
        self.unwell[part] = why
