"""What Ctrl-C leaves: an exit status, and objects half made."""

import signal

INTERRUPTED = (130, -signal.SIGINT)
"""The command's own status, or the signal: Python ends itself by the signal where it came in the midst of an `exec`,
such as that of a dataclass being made, also if the interruption was dealt with. A shell shows 130 for both."""


class HalfMade:
    """As a response of http.client is, if Ctrl-C strikes while it is made."""

    def __del__(self) -> None:
        raise AttributeError
