"""Marks: what happened when, for the charts and the list below them: halts, other problems, deployments and runs."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from console.overview.flow import Flow, running_words
from console.overview.past.history import KEPT_FOR_S
from console.overview.problem import Problem
from console.runs.run import StartedRun
from schemas.times import moment_of

Kind = Literal["pause", "halt", "problem", "deployment", "run"]

# A problem that comes back so soon is the same one: one mark, not many.
JOINED_S: Final = 60.0
MOST: Final = 200
# A deployment has a mark of its own.
_NO_MARK: Final = ("versions",)


@dataclass(frozen=True)
class Mark:
    """Something that began, and was last seen at `until`, both in seconds since 1970. A deployment is a moment.

    The same problem has the same `key` each time.
    """

    key: str
    kind: Kind
    words: str
    began: float
    until: float
    link: str = ""
    goes_on: bool = False

    @property
    def began_at(self) -> datetime:
        return moment_of(self.began)

    @property
    def lasted_s(self) -> float:
        return self.until - self.began


class Marks:
    """What the console has seen in the last day, in the order in which it noticed it."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        # The versions by who runs them, as last known.
        self.versions: dict[str, Collection[str]] = {}

    def __iter__(self) -> Iterator[Mark]:
        return iter(self._marks)

    def restore(self, marks: Iterable[Mark], versions: Mapping[str, Collection[str]], now: float) -> None:
        """Take what an earlier console has kept. Whatever went on then is over, unless it is seen again."""
        kept = sorted((replace(mark, goes_on=False) for mark in marks if mark.until <= now), key=lambda one: one.began)
        self._marks = [*kept, *self._marks]
        self.versions = {**versions, **self.versions}
        self._forget(now)

    def see(self, flow: Flow, problems: Sequence[Problem]) -> list[Mark]:
        """Take in what is the case now; return the marks that are new or have changed."""
        now = flow.at.timestamp()
        changed = [self._seen(_of_problem(problem, now)) for problem in problems if problem.key not in _NO_MARK]
        changed += [self._seen(Mark(f"run:{run}", "run", command, now, now)) for run, command in flow.runs.items()]
        changed += self._deployments(flow, now)
        keys = {mark.key for mark in changed}
        ended = [mark for mark in self._marks if mark.goes_on and mark.key not in keys]
        for mark in ended:
            self._put(replace(mark, goes_on=False))
        self._forget(now)
        return changed

    def began(self, key: str) -> datetime | None:
        """Return when the present problem of this key was first seen."""
        return next((mark.began_at for mark in reversed(self._marks) if mark.key == key and mark.goes_on), None)

    def _seen(self, mark: Mark) -> Mark:
        """Add the mark, or prolong the one that it continues."""
        last = next((one for one in reversed(self._marks) if one.key == mark.key), None)
        if last is not None and mark.until - last.until <= JOINED_S:
            mark = replace(mark, began=last.began)
        self._put(mark := replace(mark, goes_on=mark.kind != "deployment"))
        return mark

    def _put(self, mark: Mark) -> None:
        for number, one in enumerate(self._marks):
            if (one.key, one.began) == (mark.key, mark.began):
                self._marks[number] = mark
                return
        self._marks.append(mark)

    def _deployments(self, flow: Flow, now: float) -> list[Mark]:
        found = []
        for kind, versions in flow.running.items():
            before = self.versions.get(kind, ())
            if new := [version for version in versions if before and version not in before]:
                words = running_words(kind, new)
                found.append(self._seen(Mark(f"deployment:{words}", "deployment", words, now, now)))
            # Services that do not answer run the version that they told last.
            if versions:
                self.versions[kind] = tuple(versions)
        return found

    def _forget(self, now: float) -> None:
        self._marks = [mark for mark in self._marks if now - KEPT_FOR_S <= mark.until][-MOST:]


def with_runs(marks: Iterable[Mark], runs: Iterable[StartedRun], now: float) -> list[Mark]:
    """Return the *marks* and those of the console's own *runs*, the newest first.

    A run that the workers told of is left out where it is one of these.
    """
    own = [mark for run in runs if (mark := _of_run(run, now)).until >= now - KEPT_FOR_S]
    told = [mark for mark in marks if mark.kind != "run" or not any(_is_the_same(mark, one) for one in own)]
    return sorted([*told, *own], key=lambda mark: mark.began, reverse=True)[:MOST]


def _of_problem(problem: Problem, now: float) -> Mark:
    kind: Kind = "problem"
    words = problem.title
    if problem.key.startswith("pause:"):
        kind, words = "pause", f"Paused: {problem.words.rstrip('.')}"
    elif problem.key.startswith("halt:"):
        kind, words = "halt", f"Halted: {problem.title.rpartition(', ')[2]}: {problem.words.rstrip('.')}"
    # A service tells of a halt when it began; of a source it is known when it last answered.
    began = min(now, problem.since.timestamp()) if problem.since else now
    return Mark(problem.key, kind, words, began, now, problem.link)


def _of_run(run: StartedRun, now: float) -> Mark:
    asked = run.asked
    until = run.ended.timestamp() if run.ended else now if run.state == "running" else asked.began.timestamp()
    words = f"{asked.kind.capitalize()}, started by {asked.who}"
    link = f"/runs/{run.id}"
    return Mark(f"own:{run.id}", "run", words, asked.began.timestamp(), until, link, run.state == "running")


def _is_the_same(told: Mark, own: Mark) -> bool:
    overlaps = own.began - JOINED_S <= told.began <= own.until + JOINED_S
    return overlaps and own.words.casefold().startswith(told.words.casefold())
