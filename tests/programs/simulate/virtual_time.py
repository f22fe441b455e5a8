"""Virtual time: tasks run one at a time, and time jumps to whatever is due next. The same tasks run the same way."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from greenlet import greenlet


class Task:
    """Something that runs at its own pace. It gives way to others in `Timeline.sleep`, `Lock` and `result` alone."""

    def __init__(self, timeline: "Timeline", run: Callable[[], Any]) -> None:
        self._timeline = timeline
        self._run = run
        self._waiting: list[Task] = []
        self._result: Any = None
        self._error: BaseException | None = None
        self.over = False
        self.greenlet = greenlet(self._live)

    def _live(self) -> None:
        try:
            self._result = self._run()
        except BaseException as error:  # noqa: BLE001 - a death is handed on to what waits, as a future does
            self._error = error
        self.over = True
        for task in self._waiting:
            self._timeline.wake(task)

    def result(self) -> Any:
        """What the task returned or raised, as of a future. Waits for its end."""
        while not self.over:
            self._waiting.append(self._timeline.current())
            self._timeline.give_way()
        if self._error:
            raise self._error
        return self._result


class Timeline:
    """`now` is in Unix seconds."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._due: list[tuple[float, int, Task | Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._hub: greenlet | None = None
        self._running: Task | None = None
        self._stopped = False
        self._defect: BaseException | None = None

    def call_at(self, moment: float, call: Callable[[], None]) -> None:
        """`call` must not give way."""
        heapq.heappush(self._due, (max(moment, self.now), next(self._numbers), call))

    def start(self, run: Callable[[], Any]) -> Task:
        task = Task(self, run)
        self.wake(task)
        return task

    def wake(self, task: Task) -> None:
        heapq.heappush(self._due, (self.now, next(self._numbers), task))

    def current(self) -> Task:
        assert self._running, "only a task can wait"
        return self._running

    def sleep(self, seconds: float) -> None:
        until = self.now + max(seconds, 0.0)
        if self._due and self._due[0][0] <= until:
            heapq.heappush(self._due, (until, next(self._numbers), self.current()))
            self.give_way()
        else:
            self.now = until  # no other is due before

    def give_way(self) -> None:
        """Back to those that are due; the caller has seen to it that it is woken."""
        assert self._hub
        self._hub.switch()

    def stop(self, defect: BaseException | None = None) -> None:
        """Ends `run` once the running task gives way. `run` raises the defect, if there is one."""
        self._stopped, self._defect = True, self._defect or defect

    def run(self, *, until: float) -> bool:
        """Lets everything happen that is due by then. False if something is due later."""
        self._hub = greenlet.getcurrent()
        while self._due and not self._stopped:
            moment, _, what = self._due[0]
            if moment > until:
                return False
            heapq.heappop(self._due)
            self.now = max(self.now, moment)
            if isinstance(what, Task):
                self._running = what
                what.greenlet.switch()
                self._running = None
            else:
                what()
        if self._defect:
            raise self._defect
        return True


class Lock:
    """As `threading.Lock`, between tasks."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._waiting: deque[Task] = deque()
        self._held = False

    def __enter__(self) -> Self:
        while self._held:
            self._waiting.append(self._timeline.current())
            self._timeline.give_way()
        self._held = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = False
        if self._waiting:
            self._timeline.wake(self._waiting.popleft())


class Pool:
    """As `ThreadPoolExecutor`, with a task for each call."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Task:
        return self._timeline.start(lambda: call(*arguments))
