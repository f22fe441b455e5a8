"""Makes a story that goes wrong shorter, as long as it goes wrong in the same way."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simulate import Finding, History, Story, lived
from simulate.story import ORDINARY, STANDINGS, Arrival, Decision, Point, Settings, Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    story: Story
    history: History
    findings: Sequence[Finding]
    tries: int


def shrink(
    story: Story, *, most_tries: int = 3000, live: Callable[[Story], tuple[History, list[Finding]]] = lived
) -> Shrunk:
    """The shortest story found that ends in the first finding's kind of wrong. Raises ValueError if nothing is."""
    history, findings = live(story)
    if not findings:
        raise ValueError("nothing is wrong with this story")
    return _Shrinker(findings[0], live, most_tries).shrink(story, history, findings)


class _Shrinker:
    def __init__(
        self, finding: Finding, live: Callable[[Story], tuple[History, list[Finding]]], most_tries: int
    ) -> None:
        self._wrong = finding.wrong
        self._live = live
        self._left = most_tries
        self._tries = 0

    def shrink(self, story: Story, history: History, findings: Sequence[Finding]) -> Shrunk:
        best = Shrunk(story=story, history=history, findings=findings, tries=0)
        best = self._tried(best, replace(story, chance=Written(history.decisions))) or best
        shorter = True
        while shorter and self._tries < self._left:
            shorter = False
            for candidates in (_fewer_events, _fewer_decisions, _simpler_settings, _simpler_events, _simpler_decisions):
                shorter |= (better := self._exhausted(best, candidates)) is not best
                best = better
        return replace(best, tries=self._tries)

    def _exhausted(self, best: Shrunk, candidates: Callable[[Shrunk], Iterator[Story]]) -> Shrunk:
        """The shortest story by one kind of change, begun again after each that helped."""
        found = True
        while found and self._tries < self._left:
            found = False
            for candidate in candidates(best):
                better = self._tried(best, candidate)
                if better:
                    best, found = better, True
                    break
                if self._tries >= self._left:
                    break
        return best

    def _tried(self, best: Shrunk, candidate: Story) -> Shrunk | None:
        self._tries += 1
        history, findings = self._live(candidate)
        if not any(finding.wrong == self._wrong for finding in findings):
            return None
        if isinstance(candidate.chance, Written):  # those that no call met are no part of the story
            candidate = replace(candidate, chance=Written(history.decisions))
        return replace(best, story=candidate, history=history, findings=findings)


def _pieces[T](whole: Sequence[T]) -> Iterator[list[T]]:
    """The sequence without a part of it: first without halves, at last without single entries."""
    size = len(whole) // 2 or 1
    while size and whole:
        for start in range(0, len(whole), size):
            yield [*whole[:start], *whole[start + size :]]
        size //= 2


def _fewer_events(best: Shrunk) -> Iterator[Story]:
    for arrivals in _pieces(best.story.arrivals):
        if arrivals:
            yield replace(best.story, arrivals=arrivals)


def _fewer_decisions(best: Shrunk) -> Iterator[Story]:
    for left in _pieces(sorted(best.history.decisions.items())):
        yield replace(best.story, chance=Written(dict(left)))


def _simpler_decisions(best: Shrunk) -> Iterator[Story]:
    def changed(point: Point, decision: Decision) -> Story:
        decisions = {**best.history.decisions, point: decision}
        return replace(best.story, chance=Written({at: each for at, each in decisions.items() if each != ORDINARY}))

    for point, decision in best.history.decisions.items():
        for simpler in (
            decision._replace(before=0.0),
            decision._replace(after=0.0),
            decision._replace(frozen=False),
            decision._replace(fault=None),
        ):
            if simpler != decision:
                yield changed(point, simpler)


def _simpler_settings(best: Shrunk) -> Iterator[Story]:
    settings, plain = best.story.settings, Settings()

    def changed(**parts: Any) -> Story:
        return replace(best.story, settings=replace(settings, **parts))

    for queue, number in settings.workers.items():
        if number > 1:
            yield changed(workers={**settings.workers, queue: 1})
    for part in ("skews", "calls_per_minute", "batch", "crowd", "announces"):
        if getattr(settings, part) != getattr(plain, part):
            yield changed(**{part: getattr(plain, part)})
    for name in settings.switches:
        yield changed(switches={each: value for each, value in settings.switches.items() if each != name})
    named = {arrival.event.whop_user_id for arrival in best.story.arrivals}
    members = [address for address in settings.members if f"whop:{address}" in named]
    if len(members) < len(settings.members):
        yield changed(members=members)


def _simpler_events(best: Shrunk) -> Iterator[Story]:
    arrivals = list(best.story.arrivals)

    def changed(number: int, arrival: Arrival) -> Story:
        return replace(best.story, arrivals=[*arrivals[:number], arrival, *arrivals[number + 1 :]])

    for number, arrival in enumerate(arrivals):
        event = arrival.event
        if arrival.echo is not None:
            yield changed(number, replace(arrival, echo=None))
        for name in event.profile:
            less = {each: value for each, value in event.profile.items() if each != name}
            yield changed(number, replace(arrival, event=replace(event, profile=less)))
        if event.whop_user_id:
            yield changed(number, replace(arrival, event=replace(event, whop_user_id=None)))
        if event.event_time:
            yield changed(number, replace(arrival, event=replace(event, event_time=0)))
        if event.standing != STANDINGS.get(event.kind):
            yield changed(number, replace(arrival, event=replace(event, standing=STANDINGS.get(event.kind))))
        if arrival.at != round(arrival.at):
            yield changed(number, replace(arrival, at=float(round(arrival.at))))
