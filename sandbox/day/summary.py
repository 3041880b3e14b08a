"""The summary: the outcomes of all committed events, computed from the simulator's data and the dead letters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Self

from rich.table import Table

from sandbox.day.dead_letters import SetAside
from sandbox.day.ledger import Accepted, Findings, Ledger


@dataclass(frozen=True)
class Summary:
    """Counts of events unless named otherwise; latencies in seconds, from commit to timeline entry."""

    committed: int
    delivered: int
    dead_lettered: Counter[str]
    contacts: int
    findings: Findings
    rate_limited: int
    calls: int
    latency_p50_s: float
    latency_p99_s: float

    @classmethod
    def of(
        cls, ledger: Ledger, accepted: Accepted, dead_letters: Sequence[SetAside], statistics: dict[str, Any]
    ) -> Self:
        """Return the summary of a run. *statistics* come from the simulator."""
        dead = {letter.id: letter.reason for letter in dead_letters}
        cuts = quantiles(ledger.latencies_s(accepted) or [0, 0], n=100, method="inclusive")
        return cls(
            committed=len(ledger.events),
            delivered=len({event_id for event_id, _ in accepted.entries} & ledger.events.keys()),
            dead_lettered=Counter(dead.values()),
            contacts=ledger.contacts,
            findings=ledger.compare(accepted, list(dead)),
            rate_limited=statistics["rate_limited_by_quota"],
            calls=sum(number for path in statistics["calls"].values() for number in path.values()),
            latency_p50_s=cuts[49],
            latency_p99_s=cuts[98],
        )

    @property
    def order_violations(self) -> int:
        findings = self.findings
        return len(findings.out_of_order) + len(findings.backwards) + len(findings.wrong_totals)

    @property
    def clean(self) -> bool:
        """Whether every event is accounted for, once, in order."""
        return not self.findings and self.committed == self.delivered + self.dead_lettered.total()

    def verdict(self) -> str:
        """Return in a sentence whether every event is accounted for."""
        if self.clean:
            number = self.dead_lettered.total()
            set_aside = "1 is a dead letter" if number == 1 else f"{number:,} are dead letters"
            return (
                f"[bold green]Every event is accounted for:[/] {self.delivered:,} are on a timeline in HubSpot,"
                f" {set_aside}. None is lost, none is there twice, none is out of order."
            )
        return "[bold red]Not every event is accounted for:[/] the table above says what is wrong."

    def table(self) -> Table:
        table = Table(title="\nWhat became of the day", show_header=False)
        reasons = ", ".join(f"{number} {reason}" for reason, number in self.dead_lettered.items())
        for name, value in (
            ("events committed", f"{self.committed:,}"),
            ("events delivered", f"{self.delivered:,}"),
            ("events dead-lettered", f"{self.dead_lettered.total():,}" + (f" ({reasons})" if reasons else "")),
            ("contacts", f"{self.contacts:,}"),
            ("order violations", str(self.order_violations)),
            ("duplicates", str(len(self.findings.doubled))),
            ("lost", str(len(self.findings.lost))),
            ("429s caused by us", str(self.rate_limited)),
            ("latency p50 / p99", f"{self.latency_p50_s:.2f} s / {self.latency_p99_s:.2f} s (the outage included)"),
            ("HubSpot API calls", f"{self.calls:,}"),
            ("events per API call", f"{self.delivered / self.calls:.1f}" if self.calls else "-"),
        ):
            table.add_row(name, value)
        return table
