"""The properties: what must hold in each moment of a simulation, and at its end."""

from collections import Counter
from typing import TYPE_CHECKING, Final

from sandbox.day.ledger import Ledger
from tests.simulation.checks.acks import Acks
from tests.simulation.checks.holds import Holds
from tests.simulation.checks.publishing import Publishing
from tests.simulation.checks.writers import Writers
from tests.simulation.variant import ERASED
from tests.simulation.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class Properties:
    """Looks at a simulation, and reports what does not hold to it."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._publishing: Final = Publishing(simulation)
        self._holds: Final = Holds(simulation)
        # These look at what happens by themselves.
        Writers(simulation)
        Acks(simulation)

    def look(self) -> None:
        """Check what must not wait; called now and then."""
        self._publishing.look()
        self._holds.look()

    @property
    def drained(self) -> bool:
        """Whether every event is accounted for, and the group has acked everything."""
        simulation = self._simulation
        offsets = simulation.cluster.group(simulation.settings.group).offsets
        events = simulation.cluster.broker.events(simulation.settings.topics)
        if any(records and offsets.get(one, 0) <= records[-1].offset for one, records in events.items()):
            return False
        done = simulation.hubspot.event_ids() | self._simulation.excused()
        if not simulation.source.published or not all(event.id in done for event in simulation.source.committed()):
            return False
        return not simulation.runs.under_way and not any(self._busy(worker) for worker in simulation.running)

    def check_at_the_end(self) -> None:
        """Check what HubSpot has, and that nothing is left over."""
        simulation = self._simulation
        if not self.drained:
            simulation.violate(f"not everything is accounted for: {self._left()}")
        accepted, dead = simulation.hubspot.accepted(), self._simulation.excused()
        findings = Ledger(simulation.source.committed()).compare(accepted, sorted(dead))
        # The totals of a dead letter come with the next event of its contact, whatever its type: the ledger looks at
        # events of the same type alone.
        contact_of = {event.id: event.contact_key for event in simulation.source.committed()}
        contacts = {contact_of[one] for one in dead if one in contact_of}
        findings.wrong_totals = [key for key in findings.wrong_totals if key not in contacts]
        # A dead letter that is not acked is read again, and may take effect then.
        late = {contact_of[event_id] for event_id, _ in accepted.entries if event_id in dead and event_id in contact_of}
        findings.backwards = [key for key in findings.backwards if key not in late]
        # A replay lets dead letters take effect, after later events of their contact.
        findings.out_of_order = [one for one in findings.out_of_order if contact_of[one] not in contacts]
        # A replay restores old entries after newer ones that workers leave meanwhile.
        if simulation.result.counts["timeline_is_lost"] or self._times_are_wrong:
            findings.out_of_order = []
        # A contact that moved has the values of its new email, and is there once.
        # Whose next email is suppressed stays, unless it moved before: nothing of that one is sent.
        former = {
            key
            for key, following in simulation.source.next_keys.items()
            if following not in simulation.suppressed or key not in accepted.contacts
        }
        findings.backwards = [key for key in findings.backwards if key not in former]
        findings.wrong_totals = [key for key in findings.wrong_totals if key not in former]
        # A recorded answer may refuse a move: then the contact stays, and the log asks a person to merge the two.
        next_keys, refused = simulation.source.next_keys, simulation.hubspot.emails_not_given
        if anew := [key for key in sorted(accepted.contacts.keys() & former) if next_keys[key] not in refused]:
            simulation.violate(f"made anew after they moved: {', '.join(anew)}")
        for name in ("lost", "doubled", "out_of_order", "backwards", "wrong_totals"):
            if found := getattr(findings, name):
                simulation.violate(f"{name}: {', '.join(map(str, found[:3]))}" + (" …" if len(found) > 3 else ""))
        self._check_portal()
        for worker in simulation.running:
            if busy := self._busy(worker):
                simulation.violate(f"{worker.process} {busy}")
        if simulation.loop.unhandled:
            simulation.violate(f"unhandled: {simulation.loop.unhandled[0]}")

    @property
    def _times_are_wrong(self) -> bool:
        """Whether records that could be read late say the time of a wrong clock: then they may seem to be passed, and
        come after later events of their contact. Decision 17 says so.
        """
        counts = self._simulation.result.counts
        return bool(counts["relay_clock_jumps"] and counts["partitions_are_slow"])

    def _check_portal(self) -> None:
        simulation = self._simulation
        refused = ERASED if simulation.plan.variant.erased_contact else ()
        accepted = {event.id for event in simulation.source.committed() if event.contact_key not in refused}
        if not simulation.hubspot.rejects and (letters := sorted(simulation.dead_letters() & accepted)):
            simulation.violate(f"dead letters of events that HubSpot has not rejected: {letters[:3]}")
        emails = [contact.email for contact in simulation.hubspot.portal.contacts.all() if not contact.archived]
        if twice := [email for email, number in Counter(emails).items() if number > 1]:
            simulation.violate(f"contacts twice: {twice}")
        # Who is suspended between a slot and its call makes that call late, in the time of others.
        late = simulation.result.counts["worker_suspended"] + simulation.result.counts["run_suspended"]
        if (too_many := simulation.hubspot.portal.log.rate_limited_by_quota) > late:
            simulation.violate(f"{too_many} calls beyond the quota")

    def check_workers(self) -> None:
        """Check that no worker has ended by itself."""
        for worker in self._simulation.workers:
            if (fault := worker.fault) is not None:
                self._simulation.violate(f"{worker.process} ended: {fault!r}")
            # No event is missing for good, but dead letters and those of a suppressed contact are passed over.
            given_up = worker.parts.core.lanes.holes_released if worker.parts is not None else 0
            if given_up and not (self._simulation.excused() or self._times_are_wrong):
                self._simulation.violate(f"{worker.process} has gone on without {given_up} events")
        for fault in self._simulation.source.faults():
            self._simulation.violate(f"a relay ended: {fault!r}")

    def _busy(self, worker: Worker) -> str | None:
        """Return what a worker still has to do, None for an idle one."""
        parts = worker.parts
        if parts is None or parts.live is None or not parts.core.lease.valid:
            return "is no member of its group"
        if held := parts.live.holds.report():
            return f"holds contacts: {held}"
        if lent := parts.live.rate_limiter.lent:
            return f"lends {lent:.0%} of its quota"
        if unfinished := parts.core.offsets.unfinished:
            return f"has {unfinished} unfinished events"
        return None

    def _left(self) -> str:
        simulation = self._simulation
        done = simulation.hubspot.event_ids() | self._simulation.excused()
        left = [event for event in simulation.source.committed() if event.id not in done]
        halted = [worker.parts.core.breaker.halted for worker in simulation.running if worker.parts]
        return f"{len(left)} events, such as {left[:2]}; published: {simulation.source.published}; halts: {halted}"
