"""What a shell runs: the console script, and `python -m whop_user_sync` from a checkout that is not installed."""

import sys

# Here and not in the tool itself: an older Python cannot even read that.
_ELSEWHERE = "In a checkout, run .venv/bin/python -m whop_user_sync (make test installs it)."


def entry_point() -> int:
    """The exit status. Loading the tool takes a moment, in which Ctrl-C is answered too."""
    if sys.version_info < (3, 13):  # noqa: UP036 - a checkout declares no version to the Python that runs it
        sys.exit(f"whop-user-sync needs Python 3.13; this is {sys.version_info[0]}.{sys.version_info[1]}. {_ELSEWHERE}")
    # Ctrl-C may strike while a library's object is half made; Python would print a traceback when it is thrown away.
    sys.unraisablehook = lambda _: None
    try:
        from whop_user_sync.cli import main  # noqa: PLC0415 - see above

        return main()
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed for this Python. {_ELSEWHERE}")
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        if "--json" in sys.argv:
            print('{"error": "Interrupted.", "status": 130}')
        return 130


if __name__ == "__main__":
    sys.exit(entry_point())
