"""`StopSignals` lets Ctrl-C and SIGTERM request a stop instead of stopping at once."""

from __future__ import annotations

import signal
import threading
from typing import Any


class StopSignals:
    """Within the block, Ctrl-C and SIGTERM only set `signal`, to their number. A second one stops at once.

    Only the main thread can catch signals; in another one the block does nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {n: signal.signal(n, self._request) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _request(self, number: int, frame: Any) -> None:
        self.signal = number
        self.__exit__()

    def __exit__(self, *error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
