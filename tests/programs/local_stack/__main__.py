"""What the Makefile calls. Loading takes a moment, in which Ctrl-C is answered too."""

import sys


def run() -> int:
    """The exit status."""
    # Ctrl-C may strike while a library's object is half made; Python would print a traceback when it is thrown away.
    sys.unraisablehook = lambda _: None
    try:
        from local_stack.program import main  # noqa: PLC0415 - see above

        return main()
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing had been started.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run())
