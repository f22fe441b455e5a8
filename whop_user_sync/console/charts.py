"""Small charts as SVG, drawn here: a column a span of time, stacked by what happened."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, GAP = 600, 80, 1


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of the chart; `series` names its class in the style sheet, `title` is read aloud and shown."""

    x: float
    y: float
    width: float
    height: float
    series: str
    title: str


def columns(spans: Sequence[tuple[str, Counter[str]]], series: Mapping[str, str]) -> list[Bar]:
    """Bars for spans of time, each with a label and its counts. `series` maps what is counted to a class, bottom up."""
    highest = max((sum(counts.values()) for _, counts in spans), default=0) or 1
    width = WIDTH / max(len(spans), 1)
    bars = []
    for index, (label, counts) in enumerate(spans):
        y = float(HEIGHT)
        for name, class_name in series.items():
            height = counts[name] * (HEIGHT - 4) / highest
            if height:
                y -= height
                title = f"{label}: {counts[name]} {name}"
                bars.append(Bar(index * width, y, width - GAP, height, class_name, title))
    return bars
