"""Ctrl-C as a request to stop: a training ends between two steps, not within one."""

import signal
import threading


class Interrupt:
    """Context in which the first Ctrl-C is noted and the second raises KeyboardInterrupt.

    Only Python's own handling of Ctrl-C is replaced, and only in the main thread, which
    alone may: who has another handler keeps it, and its KeyboardInterrupt ends the body.

    Attributes
    ----------
    requested : bool
        Whether Ctrl-C was pressed.
    """

    def __init__(self):
        self.requested = False
        self._armed = False

    def __enter__(self):
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._armed = True
        return self

    def __exit__(self, *error):
        if self._armed:
            self._armed = False
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def let_through(self):
        """Note no more: from here on the first Ctrl-C raises KeyboardInterrupt."""
        self.__exit__()
        if self.requested:
            raise KeyboardInterrupt

    def _note(self, number, frame):
        if self.requested:
            signal.default_int_handler(number, frame)
        self.requested = True
