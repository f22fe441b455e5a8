"""A story as text that a person can follow: who, what, when, and what is wrong in the end."""

from collections.abc import Iterator

from fake_whop import Switches
from simulate.shrinking import Shrunk
from simulate.story import STANDINGS, Settings
from whop_sync.events import UserEvent

MOST_LINES = 200


def written(shrunk: Shrunk) -> str:
    return "\n".join(_lines(shrunk))


def _lines(shrunk: Shrunk) -> Iterator[str]:
    story, history = shrunk.story, shrunk.history
    yield f"seed {story.seed}, made shorter in {shrunk.tries} tries"
    yield ""
    yield f"The world: {_settings(story.settings)}"
    yield ""
    yield "The events, oldest first:"
    events = {arrival.event.event_id: arrival for arrival in history.arrivals}
    for arrival in sorted(events.values(), key=lambda arrival: (arrival.event.user_id, arrival.event.version)):
        yield f"  {_event(arrival.event)}"
    yield ""
    yield "What happens (seconds, worker):"
    for number, (moment, who, what) in enumerate(history.trace):
        if number == MOST_LINES:
            yield f"  ... and {len(history.trace) - MOST_LINES} lines more"
            break
        yield f"  {moment:9.2f}  {who or ' ':3} {what}"
    yield ""
    yield "What is wrong:"
    for finding in shrunk.findings:
        yield f"  {finding.wrong}: {finding.sentence}"


def _settings(settings: Settings) -> str:
    parts = [f"users are enrolled by /{settings.enrollment}"]
    parts += [f"{number} worker(s) of {queue} events" for queue, number in settings.workers.items()]
    if any(settings.skews):
        parts.append(f"the workers' clocks are off by {', '.join(f'{skew:g}' for skew in settings.skews)} s")
    if settings.crowd:
        parts.append(f"{settings.crowd} accounts of others are made at once, and Whop's list takes seconds a page")
    if settings.announces:
        parts.append("changes are announced")
    plain = Switches()
    parts += [f"{name} = {value!r}" for name, value in settings.switches.items() if value != getattr(plain, name)]
    return ", ".join(parts)


def _event(event: UserEvent) -> str:
    brings = [f"{name} {value!r}" for name, value in event.profile.items()]
    if event.email:
        brings.append(f"e-mail {event.email}")
    if event.whop_user_id:
        brings.append(f"Whop sign-in {event.whop_user_id}")
    if event.standing != STANDINGS.get(event.kind):
        brings.append(f"says {event.standing}")
    moment = f", happened at {event.event_time}" if event.event_time else ""
    who = f"{event.event_id}  {event.user_id} {event.kind}, version {event.version}{moment}"
    return f"{who}: {', '.join(brings) or 'nothing more'}"
