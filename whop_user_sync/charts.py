"""How charts look, so that all are alike: on a white ground, which is readable in dark mode too, with colours that
colour-blind people can tell apart (https://jfly.uni-koeln.de/color). The same numbers give the same file.

matplotlib is imported when something is drawn: the command is installed without it where it was not asked for, and the
bench measures the memory of processes that import its modules.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#24292f", "#8c959f"
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, RED = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#f0e442",
    "#d55e00",
)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW)


def can_be_drawn() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


@contextmanager
def drawn(file: Path, title: str, *, width: float = 9.0, height: float) -> Iterator["Figure"]:
    """A figure to draw on, in inches, written to an SVG file at the end of the block."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.rcsetup import cycler

    style = mpl.rc_context(
        {
            "axes.edgecolor": FAINT,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.labelcolor": INK,
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "font.family": "sans-serif",
            "font.size": 9,
            "grid.alpha": 0.25,
            "legend.fontsize": 8,
            "legend.frameon": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "whop-user-sync",
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
    with style:
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        yield figure
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, format="svg", metadata={"Date": None, "Title": title})


def beside(axes: "Axes", **options: Any) -> None:
    """A legend to the right of the axes, where it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), **options)
