"""The command `whop-user-sync`: what an operator runs against a deployed stack or the local one.

It goes by the AWS credentials and region of its environment, as the AWS command line does. Nothing that a person can
cause ends in a traceback: errors are sentences on standard error, and the exit status says what they mean.
"""

import functools
import os
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from whop_sync.errors import SyncError, Transient
from whop_user_sync.commands import (
    checking,
    console,
    erasing,
    importing,
    parked,
    platform,
    preview,
    sending,
    tracing,
    users,
)
from whop_user_sync.commands.common import CommandError, Exit
from whop_user_sync.importing import NotResumableError
from whop_user_sync.output import Output
from whop_user_sync.stack import EndpointError, explained

_UsageError: Any = typer.BadParameter.__base__
"""Options that cannot be used. Typer brings a Click of its own, and exports only this class's children."""

app = typer.Typer(
    name="whop-user-sync",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _command(name: str, run: Callable[..., int], *, needs: str = "", group: typer.Typer = app) -> None:
    """Adds a command. `needs` are its AWS permissions, for the person whom AWS refuses one."""

    @functools.wraps(run)
    def ends_in_a_status(**options: Any) -> None:
        out = Output(as_json=bool(options.get("as_json")))
        try:
            if needs:
                ensure_authorities(os.environ)
            status = run(**options)
        except CommandError as error:
            status = _failed(out, str(error), error.status)
        except (ClientError, BotoCoreError) as error:
            status = _failed(out, explained(error, stack=options.get("stack"), needed=needs), Exit.UNAVAILABLE)
        except Transient as error:
            status = _failed(out, f"Not possible just now: {error.reason}. {error.explanation}", Exit.UNAVAILABLE)
        except BrokenPipeError:  # as of `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = Exit.ATTENTION
        except SyncError as error:
            status = _failed(out, error.explanation or error.reason, Exit.USAGE)
        except (NotResumableError, EndpointError, OSError) as error:
            status = _failed(out, str(error), Exit.USAGE)
        except typer.Abort:
            status = _failed(out, "Not confirmed: nothing was done.", Exit.ATTENTION)
        except KeyboardInterrupt:
            status = _failed(out, "Interrupted.", Exit.INTERRUPTED)
        raise typer.Exit(status)

    group.command(name)(ends_in_a_status)


def ensure_authorities(environment: Mapping[str, str]) -> None:
    """Raises CommandError if a file of certificates that the environment names is missing or is none: the libraries
    that read it do not name it."""
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        file = environment.get(name)
        if file and not Path(file).exists():
            raise CommandError(f"{name} names {file}, and there is no such file.")
        if file and Path(file).is_file():
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
            except OSError:
                raise CommandError(f"{name} names {file}, which holds no certificates that can be read.") from None


def _failed(out: Output, sentence: str, status: Exit) -> Exit:
    """Every command prints its document last, so that this is the only one of a command that failed."""
    print(sentence, file=sys.stderr)
    out.document({"error": sentence, "status": status})
    return status


_command("preview", preview.preview)
_command("platform", platform.platform)
_command("check", checking.check, needs=checking.CHECK_NEEDS)
_command("send", sending.send, needs=sending.NEEDS)
_command("parked", parked.parked, needs=parked.LIST_NEEDS)
_command("redrive", parked.redrive, needs=parked.REDRIVE_NEEDS)
_command("discard", parked.discard, needs=parked.DISCARD_NEEDS)
users_group = typer.Typer(no_args_is_help=True, help="What is recorded about users: list, show, export, fill-accounts.")
app.add_typer(users_group, name="users")
_command("list", users.list_users, needs=users.LIST_NEEDS, group=users_group)
_command("show", users.show, needs=users.SHOW_NEEDS, group=users_group)
_command("export", users.export, needs=users.LIST_NEEDS, group=users_group)
_command("fill-accounts", users.fill_accounts, needs=users.FILL_NEEDS, group=users_group)
_command("erase", erasing.erase, needs=erasing.ERASE_NEEDS)
_command("release", erasing.release, needs=erasing.RELEASE_NEEDS)
_command("console", console.console, needs=console.NEEDS)
_command("import", importing.import_users, needs=importing.IMPORT_NEEDS)
_command("verify", importing.verify, needs=importing.VERIFY_NEEDS)
_command("trace", tracing.trace, needs=tracing.TRACE_NEEDS)
_command("tail", tracing.tail, needs=tracing.TAIL_NEEDS)


def installed_version() -> str:
    try:
        return version("whop-user-sync")
    except PackageNotFoundError:
        return "from a checkout"


def _show_version(asked: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if asked:
        typer.echo(f"whop-user-sync {installed_version()}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Watch and run a deployed whop-user-sync stack."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of one call."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    out = Output(as_json="--json" in given)
    for each in given:
        if any("\udc80" <= character <= "\udcff" for character in each):
            return _failed(out, f"{each!a} is not text in UTF-8.", Exit.USAGE)
    try:
        return app(given, standalone_mode=False) or Exit.DONE
    except _UsageError as error:
        error.show()
        out.document({"error": error.format_message(), "status": Exit.USAGE})
        return Exit.USAGE
