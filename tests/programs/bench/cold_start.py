"""How long a function takes to start, against a floor: the packages and clients that it needs, and nothing of ours.

Children import one or the other in turns, with the layer that `sam build` made, under the interpreter that ships.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cloudformation import read_template
from local_stack import ROOT
from local_stack.processes import bare_environment
from local_stack.runtime import emulator, running_function
from local_stack.terminal import Terminal
from whop_sync.receiving.deliveries import MAX_BODY_BYTES
from whop_user_sync.charts import BLUE, INK, RED, beside, drawn

LAYER = Path("SharedLayer") / "python"

SETTINGS = {
    "CHAT_TOKEN_ACTIONS": "chat:read",
    "PAYLOAD_PRESET": "standard",
    "POWERTOOLS_LOG_LEVEL": "INFO",
    "TITLE_FORMAT": "{name} ({user_id})",
    "DELETED_USER_NAME": "Deleted user",
    "WHOP_API_VERSION": "",
    "WHOP_ENROLLMENT": "companies",
    "WHOP_ENVIRONMENT": "sandbox",
}
NAMES_OF_THINGS = ("_ARN", "_ID", "_NAME", "_NAMESPACE", "_TABLE", "_URL")
WHAT_LOCAL_STACKS_SET = ("AWS_ENDPOINT_URL", "PICTURE_ALLOWED_ORIGIN", "WHOP_API_URL")

_TIMED = """
import time
began, worked = time.perf_counter(), time.process_time()
{code}
import os
os.write(1, f"{{time.perf_counter() - began}} {{time.process_time() - worked}}".encode())
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a function needs: clients of these AWS services, and whether an HTTP client.

    `event` is one that it answers without asking any of them.
    """

    services: tuple[str, ...]
    http: bool
    event: Mapping[str, Any]

    def floor(self) -> str:
        lines = ["import boto3", *(["import httpx"] if self.http else []), "from aws_lambda_powertools import Logger"]
        return "\n".join([*lines, "logger = Logger()", *(f"boto3.client('{service}')" for service in self.services)])


FUNCTIONS = {
    "ReceiveWebhookFunction": Needs(("sqs", "secretsmanager"), http=False, event={"body": " " * (MAX_BODY_BYTES + 1)}),
    "UserCreatedFunction": Needs(("dynamodb", "sqs", "secretsmanager"), http=True, event={"Records": []}),
    "ProfileUpdatedFunction": Needs(("dynamodb", "sqs", "secretsmanager"), http=True, event={"Records": []}),
    "LookUpUserFunction": Needs(("dynamodb",), http=False, event={}),
    "EnrollUserFunction": Needs(("dynamodb", "sqs", "secretsmanager"), http=True, event={"body": "no JSON"}),
    "MintChatTokenFunction": Needs(("dynamodb", "secretsmanager"), http=True, event={"body": "no JSON"}),
    "ImportUsersFunction": Needs(("s3", "sqs"), http=False, event={}),
}


def settings(built: Path, function: str) -> dict[str, str]:
    """What the template gives the function, with names of nothing."""
    document = read_template(built / "template.yaml")
    own = document["Resources"][function]["Properties"].get("Environment", {}).get("Variables", {})
    names = {**document["Globals"]["Function"]["Environment"]["Variables"], **own}
    values = {name: SETTINGS.get(name, "x" if name.endswith(NAMES_OF_THINGS) else "") for name in names}
    return {name: value for name, value in values.items() if name not in WHAT_LOCAL_STACKS_SET}


GOAL = 1.15


def report(built: Path, scratch: Path, terminal: Terminal, *, rounds: int, chart: Path) -> None:
    terminal.title(f"Cold start: imports and clients, {rounds} rounds, in turns")
    rows = []
    pairs: dict[str, Sequence[float]] = {}
    layer = built / LAYER
    for function, needs in FUNCTIONS.items():
        codes = [needs.floor(), needs.floor() + "\nhttpx.Client()" * needs.http, "import app"]
        floor, with_http_client, ours = _measure(built, function, [(layer, code) for code in codes], rounds)
        pairs[function] = _ratios(ours, floor, lambda each: each.cpu)
        rows.append(
            (
                function,
                f"{statistics.median(each.wall for each in floor) * 1000:.0f} ms",
                f"{statistics.median(each.wall for each in ours) * 1000:.0f} ms",
                _ratio(ours, floor, lambda each: each.wall),
                _ratio(ours, floor, lambda each: each.cpu),
                _ratio(ours, with_http_client, lambda each: each.cpu) if needs.http else None,
            )
        )
    terminal.table(
        ("function", "floor", "ours", "ratio", "ratio of CPU time", "the same, floor with an httpx.Client()"), rows
    )
    terminal.quiet(f"goal: {GOAL:g}; the floor imports the packages and makes the AWS clients")
    draw(chart, pairs)
    terminal.quiet(f"as a picture: {chart}")

    terminal.title("What each measure does for it: CPU time without it, to CPU time with all of them")
    variants = {
        "": (layer, "import app"),
        "bytecode in the layer": (_without_bytecode(layer, scratch / "source"), "import app"),
        "data of the services used alone": (_with_all_data(layer, scratch / "data"), "import app"),
        "certificates read when needed": (_with_one_bundle(layer, scratch / "bundle"), "import app"),
        "no look for garbage": (layer, "import gc\ngc.disable = lambda: None\nimport app"),
    }
    functions = ("ReceiveWebhookFunction", "UserCreatedFunction")
    effects = []
    for function in functions:
        shipped, *others = _measure(built, function, list(variants.values()), rounds)
        effects.append([_ratio(other, shipped, lambda each: each.cpu) for other in others])
    terminal.table(("measure", *functions), list(zip(list(variants)[1:], *effects, strict=True)))
    terminal.quiet(f"layer {_megabytes(layer)} MB, with all of botocore's data {_megabytes(scratch / 'data')} MB")


def report_under_the_emulator(built: Path, scratch: Path, terminal: Terminal, *, rounds: int) -> None:
    """From the start of the runtime to the first answer, to an event that asks nothing of anybody."""
    terminal.title(f"Cold start under the Runtime Interface Emulator: to the first answer, {rounds} rounds, in turns")
    if emulator() is None:
        terminal.quiet("there is no emulator for this system")
        return
    rows = []
    for function, needs in FUNCTIONS.items():
        floor = scratch / "floors" / function
        floor.mkdir(parents=True)
        (floor / "app.py").write_text(f"{needs.floor()}\n\n\ndef handler(event, context):\n    return {{}}\n")
        if not (scratch / "floors" / "SharedLayer").exists():
            (scratch / "floors" / "SharedLayer").symlink_to(built / "SharedLayer")
        pairs = [
            (_first_answer(scratch / "floors", built, function), _first_answer(built, built, function))
            for _ in range(rounds)
        ]
        rows.append(
            (
                function,
                f"{statistics.median(floor for floor, _ in pairs) * 1000:.0f} ms",
                f"{statistics.median(ours for _, ours in pairs) * 1000:.0f} ms",
                f"{statistics.median(ours / floor for floor, ours in pairs):.2f}",
            )
        )
    terminal.table(("function", "floor", "ours", "ratio"), rows)
    terminal.quiet(
        "the emulator's and the interpreter's own start are part of both, so these ratios are the milder ones"
    )


@dataclass(frozen=True, slots=True)
class _Time:
    wall: float
    cpu: float


def _measure(built: Path, function: str, variants: Sequence[tuple[Path, str]], rounds: int) -> list[list[_Time]]:
    environment = {**bare_environment(), **settings(built, function), "AWS_REGION": "us-east-1"}
    times: list[list[_Time]] = [[] for _ in variants]
    for number in range(rounds + 1):
        for variant, (layer, code) in enumerate(variants):
            time_taken = _child(environment, [built / function, layer], code)
            if number:  # the first round fills the machine's file cache
                times[variant].append(time_taken)
    return times


def _child(environment: Mapping[str, str], path: Sequence[Path], code: str) -> _Time:
    process = subprocess.run(
        [sys.executable, "-S", "-c", _TIMED.format(code=code)],
        env={**environment, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    wall, cpu = map(float, process.stdout.split()[-2:])
    return _Time(wall, cpu)


def _first_answer(folder: Path, built: Path, function: str) -> float:
    began = time.perf_counter()
    with running_function(folder, function, {**settings(built, function), "PYTHONDONTWRITEBYTECODE": "1"}) as runtime:
        runtime.invoke(FUNCTIONS[function].event)
        return time.perf_counter() - began


def _ratio(ours: Sequence[_Time], floor: Sequence[_Time], of: Callable[[_Time], float]) -> str:
    return f"{statistics.median(_ratios(ours, floor, of)):.2f}"


def _ratios(ours: Sequence[_Time], floor: Sequence[_Time], of: Callable[[_Time], float]) -> list[float]:
    """Of each pair that was measured one after the other."""
    return [of(mine) / of(other) for mine, other in zip(ours, floor, strict=True)]


def draw(file: Path, pairs: Mapping[str, Sequence[float]]) -> None:
    """Writes an SVG of the ratios of a cold start's CPU time to the floor, by function."""
    with drawn(file, "A cold start's CPU time, compared with its floor", height=0.45 * len(pairs) + 1.6) as figure:
        axes = figure.subplots()
        for row, ratios in enumerate(pairs.values()):
            is_first = row == 0
            axes.plot(
                ratios, [row] * len(ratios), "o", color=BLUE, alpha=0.35, ms=4, label="a pair" if is_first else None
            )
            median = statistics.median(ratios)
            axes.plot([median], [row], "D", color=RED, ms=6, label="their median" if is_first else None)
            axes.annotate(f"{median:.2f}", (median, row), (0, 7), textcoords="offset points", ha="center", fontsize=8)
        axes.axvline(1, color=INK, linewidth=1, label="floor: packages and AWS clients alone")
        axes.axvline(GOAL, color=INK, linestyle="--", linewidth=1, label=f"goal for the median, {GOAL:g}")
        axes.set_yticks(range(len(pairs)), list(pairs))
        axes.set_ylim(len(pairs) - 0.5, -0.7)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("times the floor")
        beside(axes)


def _without_bytecode(layer: Path, copy: Path) -> Path:
    return Path(shutil.copytree(layer, copy, ignore=shutil.ignore_patterns("__pycache__")))


def _with_all_data(layer: Path, copy: Path) -> Path:
    """The layer as pip would have made it: the same botocore with the models and endpoints of every service."""
    shutil.copytree(layer, copy)
    [whole] = (ROOT / ".venv").glob("lib/python3*/site-packages/botocore/data")
    shutil.rmtree(copy / "botocore" / "data")
    shutil.copytree(whole, copy / "botocore" / "data")
    return copy


def _with_one_bundle(layer: Path, copy: Path) -> Path:
    return Path(shutil.copytree(layer, copy, ignore=shutil.ignore_patterns("by-hash")))


def _megabytes(folder: Path) -> int:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1_000_000)
