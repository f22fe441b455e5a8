"""Deterministic simulation of the workers: one process, virtual time, a seed.

    with numbered_ids():
        world, history = lived(generate(7, TRAITS))

The real worker, synchronization, enrollment, profiles, mappings, pacing and Whop client run against the fake Whop's
rules, a table and queues, all in memory (`world`). A seed makes a story: events of a few users, workers, delays, faults
and deaths (`story`). An oracle says from the events alone what has to be there in the end (`oracle`). A story that ends
otherwise is made as short as it gets (`shrinking`) and written down (`report`).
"""

from simulate.oracle import Finding, judge
from simulate.story import Story, Traits, generate
from simulate.world import History, World, numbered_ids

TRAITS = Traits(
    kinds=("created", "updated", "suspended", "restored", "deleted"),
    no_email=True,
    new_email=True,
    shared_email=True,
    sign_in=True,
    refused_nulls=True,
    event_times=True,
    bare=True,
    crowds=True,
    title_limits=True,
    refused_pictures=True,
    strains=True,
    announcements=True,
    hand_ons=True,
    flags=True,
)
"""What occurs in the stories of the gate and of `make simulate`."""


def lived(story: Story) -> tuple[History, list[Finding]]:
    """What happened in a story, and what was wrong in the end."""
    with numbered_ids():
        world = World(story)
        history = world.live()
        return history, judge(story, world, history)


__all__ = ["TRAITS", "Finding", "History", "Story", "Traits", "generate", "lived"]
