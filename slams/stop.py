"""SIGTERM, a cluster's time limit: an orderly end after the running step, or a rescue before it.

Python runs a signal's handler between two of its instructions, and one of torch's may last a
minute: a step on few cores, a compilation, a validation. So a thread that is told of the signal
at once waits a while for the orderly end, and then does what must be done itself.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

GRACE = 6.0  # seconds that the running step has to end by itself


class Stop:
    """Watches for SIGTERM; ``rescue`` saves what there is, and says what it saved.

    It is called in another thread, while the main one may be anywhere, and the process ends after
    it with status 1.
    """

    def __init__(self, rescue: Callable[[], str]) -> None:
        self._rescue = rescue
        self._asked, self._over = threading.Event(), threading.Event()

    @property
    def requested(self) -> bool:
        """Whether the signal has come."""
        return self._asked.is_set()

    @contextmanager
    def watch(self) -> Iterator["Stop"]:
        """Take the signal as long as the block lasts. In the main thread only."""
        told, tell = socket.socketpair()
        tell.setblocking(False)
        handler = signal.signal(signal.SIGTERM, lambda *_: self._asked.set())
        wakeup = signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
        thread = threading.Thread(target=self._listen, args=(told,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            signal.set_wakeup_fd(wakeup)
            signal.signal(signal.SIGTERM, handler)
            tell.close()
            thread.join()
            told.close()

    def _listen(self, told: socket.socket) -> None:
        while number := told.recv(1):
            if number[0] == signal.SIGTERM:
                self._asked.set()
                if not self._over.wait(GRACE):
                    said = f"stopped by SIGTERM: {self._rescue()}"
                    log.info(said)
                    sys.stderr.write(said + "\n")
                    sys.stderr.flush()
                    os._exit(1)
                return
