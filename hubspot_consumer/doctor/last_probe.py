"""The check of the last probe: when the portal was probed, and what differed from what workers rely on."""

from typing import Final

from hubspot_consumer.doctor.environment import Environment
from hubspot_consumer.doctor.examination import Answer, CannotTell, Check, Checks, ok, warn
from hubspot_consumer.doctor.kafka import NO_ANSWER, REQUEST_WITHIN_MS, SEE_KAFKA
from hubspot_consumer.probe.result import last_result
from runtime.clock import Clock
from runtime.kafka.admission import ask_admission

PROBE: Final = "run `python -m hubspot_consumer probe`: it says what it would ask, and asks it with --yes"


class LastProbe:
    """The check of the result that the last probe left on Kafka."""

    def __init__(self, environment: Environment, clock: Clock) -> None:
        self._settings: Final = environment.settings
        self._clock: Final = clock

    def checks(self) -> Checks:
        return Checks([Check("probe", self.last_probe)])

    async def last_probe(self) -> Answer:
        """Report when the portal of these settings was last probed, and with what result."""
        settings = self._settings
        if not settings.bootstrap_servers:
            raise CannotTell("KAFKA_BOOTSTRAP_SERVERS is not set")
        options = settings.client_options()
        try:
            await ask_admission(options)
            options |= {"request_timeout_ms": REQUEST_WITHIN_MS}
            result = await last_result(options, settings.topics.controls, self._clock)
        except NO_ANSWER as error:
            raise CannotTell(SEE_KAFKA) from error
        if result is None:
            raise CannotTell(f"the portal was never probed: {PROBE}")
        when = f"probed at {result.at:%Y-%m-%d %H:%M} UTC"
        if settings.hubspot_portal_id not in (None, result.portal_id):
            return warn(f"{when}, but portal {result.portal_id}", PROBE)
        if result.api_version != settings.hubspot_api_version:
            return warn(f"{when}, but with HUBSPOT_API_VERSION={result.api_version}", PROBE)
        untold = f"; not told: {', '.join(result.not_told)}" if result.not_told else ""
        if result.differs:
            return warn(f"{when}; differs: {', '.join(result.differs)}{untold}", f"{PROBE}, and what it means")
        return ok(f"{when}; {len(result.as_expected)} answers as expected{untold}")
