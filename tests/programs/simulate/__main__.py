"""What the Makefile calls: `python -m simulate --seeds 2000`, or `--seed 7` for one story, printed in full."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import batched

from local_stack.terminal import Terminal
from simulate import TRAITS, Finding, generate, lived
from simulate.report import written
from simulate.shrinking import Shrunk, shrink

SEEDS_AT_ONCE = 25
MOST_SHOWN = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many stories (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="the first seed; without --seeds, the only one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    alone = options.seed is not None and "--seeds" not in " ".join(sys.argv)
    return _one(options.seed) if alone else _many(options.seed or 0, options.seeds, options.processes)


def _one(seed: int) -> int:
    """One story: shrunk if it goes wrong, else as it is."""
    story = generate(seed, TRAITS)
    history, findings = lived(story)
    if findings:
        print(written(shrink(story)))
        return 1
    print(written(Shrunk(story=story, history=history, findings=[], tries=0)))
    print("  nothing")
    return 0


def _many(first: int, number: int, processes: int) -> int:
    terminal = Terminal()
    started, calls, done = time.monotonic(), 0, 0
    wrong: dict[int, list[Finding]] = {}
    for batch, those_calls, found in _outcomes(range(first, first + number), processes):
        done, calls, wrong = done + batch, calls + those_calls, wrong | found
        rate = done / (time.monotonic() - started)
        _progress(f"{done} of {number} stories, {rate:.0f} a second, {len(wrong)} of them wrong", last=done == number)
    terminal.quiet(f"{calls} calls in {time.monotonic() - started:.1f} s")
    if not wrong:
        return 0
    kinds = Counter(kind for findings in wrong.values() for kind in {finding.wrong for finding in findings})
    terminal.line(", ".join(f"{kind}: {times} stories" for kind, times in kinds.most_common()))
    shown: set[str] = set()
    for seed, findings in sorted(wrong.items()):
        if findings[0].wrong not in shown and len(shown) < MOST_SHOWN:
            shown.add(findings[0].wrong)
            print(f"\n{'-' * 100}\n{written(shrink(generate(seed, TRAITS)))}")
    print(f"\nAgain: make simulate SEED={next(iter(sorted(wrong)))}. All seeds: {', '.join(map(str, sorted(wrong)))}")
    return 1


def _outcomes(seeds: range, processes: int) -> Iterator[tuple[int, int, dict[int, list[Finding]]]]:
    batches = [list(batch) for batch in batched(seeds, SEEDS_AT_ONCE, strict=False)]
    if processes == 1:
        yield from map(_live, batches)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_live, batches)


def _live(seeds: list[int]) -> tuple[int, int, dict[int, list[Finding]]]:
    calls, wrong = 0, {}
    for seed in seeds:
        history, findings = lived(generate(seed, TRAITS))
        calls += history.calls
        if findings:
            wrong[seed] = findings
    return len(seeds), calls, wrong


def _progress(text: str, *, last: bool) -> None:
    """On a terminal one line that changes; elsewhere only the last."""
    if sys.stdout.isatty():
        print(f"\r{text}", end="\n" if last else "", flush=True)
    elif last:
        print(text)


if __name__ == "__main__":
    sys.exit(main())
