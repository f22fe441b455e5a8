"""What a command's exit status is after Ctrl-C."""

import signal

INTERRUPTED = (130, -signal.SIGINT)
"""The command's own status, or the signal: Python ends itself by the signal where it came in the midst of an `exec`,
such as that of a dataclass being made, also if the interruption was dealt with. A shell shows 130 for both."""
