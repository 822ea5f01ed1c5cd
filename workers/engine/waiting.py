"""Work that blocks (a read from the network, a library's own retries) without making wishes wait for it."""

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from workers.engine.progress import Progress

EVERY_S = 0.25
_END = object()


def waited(work: Callable[[], Any], while_waiting: Callable[[], None]) -> Any:
    """The value of `work()`, done in a thread; `while_waiting` is called every quarter of a second meanwhile.

    When that raises (Stopped), the thread is left to itself: it ends with its request, or with the process.
    """
    outcome = _Outcome()

    def run() -> None:
        with outcome:
            outcome.value = work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(EVERY_S)
    while thread.is_alive():
        while_waiting()
        thread.join(EVERY_S)
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


class _Outcome:
    """What came of a thread's work; as a context it takes up the error, which the waiting thread raises."""

    value: Any = None
    error: BaseException | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> bool:
        self.error = error
        return True


def waited_each(items: Iterator[Any], progress: Progress) -> Iterator[Any]:
    """The items, each fetched in a thread: a wish that ends the work raises Stopped while one is awaited."""
    while (item := waited(lambda: next(items, _END), lambda: progress.advance(0))) is not _END:
        yield item
