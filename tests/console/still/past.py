"""What that console remembers of the day before: a pause of six minutes, after which the workers catch up."""

from datetime import timedelta
from pathlib import Path

from console.overview.past.history import FINE_FOR_S, KEPT_FOR_S, MINUTE_S, SAMPLE_EVERY_S, Sample
from console.overview.past.history_file import HistoryFile, Kept
from console.overview.past.marks import Mark
from tests.console.still.clock import NOW
from tests.console.still.services import RATE, rate

# In seconds before NOW.
PAUSED, RESUMED, CAUGHT_UP = 2_400, 2_040, 1_860


def remember(folder: Path, until_s: int) -> None:
    """Keep the samples of the last day in *folder*, up to *until_s* before `NOW`."""
    fine = [_sample(ago, SAMPLE_EVERY_S) for ago in range(FINE_FOR_S, until_s, -SAMPLE_EVERY_S)]
    minutes = [_sample(ago, MINUTE_S) for ago in range(KEPT_FOR_S - MINUTE_S, until_s, -MINUTE_S)]
    now = NOW.timestamp()
    pause = Mark("halt:paused", "pause", "Paused: an import runs (ada)", now - PAUSED, now - RESUMED, "/control")
    kept = Kept([*minutes, *fine], [pause])
    file = HistoryFile(folder)
    file.save(kept, kept, now)
    file.close()


def _sample(ago: int, step: int) -> Sample:
    comes, waits, waited_s = rate(-ago), 47.0, 0.0
    goes = comes
    if RESUMED < ago <= PAUSED:
        goes, waits, waited_s = 0.0, RATE * (PAUSED - ago), PAUSED - ago
    elif CAUGHT_UP < ago <= RESUMED:
        rest = (ago - CAUGHT_UP) / (RESUMED - CAUGHT_UP)
        goes, waits, waited_s = 3 * comes, RATE * (PAUSED - RESUMED) * rest, (PAUSED - RESUMED) * rest
    figures = {
        "outbox_rows": 18.0,
        "lag": waits,
        "written_per_s": comes,
        "published_per_s": comes,
        "delivered_per_s": goes,
        "calls_per_s": goes / 9,
        "latency_p50_s": 0.86 + waited_s,
        "latency_p99_s": 4.1 + waited_s,
        "quota_used": goes,
        "quota_limit": 100.0,
    }
    return Sample(int((NOW - timedelta(seconds=ago)).timestamp()), figures, step)
