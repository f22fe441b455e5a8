"""A stand-in for AWS's image public.ecr.aws/lambda/python, for a machine that cannot pull it.

It holds this machine's own CPython 3.13 and its libraries, awslambdaric out of .venv, and the three programs that SAM's
Dockerfile runs (sh, mv, chmod). Everything is copied from this machine, so it needs no network and no base image. It
is tagged with a name of its own: where AWS's image can be pulled, that one is used.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from local_stack.runtime import runtime_packages

IMAGE = "whop-user-sync/lambda-python:3.13"

_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PROGRAMS = ("sh", "mv", "chmod")
_NOT_NEEDED = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "__pycache__", "*.a")
# glibc loads these by name when a program looks up a host.
_LOADED_BY_NAME = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")

# The paths and variables of AWS's image, observed in public.ecr.aws/lambda/python:3.13.
_BOOTSTRAP = f"""#!/bin/sh
export PYTHONPATH=/var/task:/opt/python:/var/runtime
exec /var/lang/bin/{_PYTHON} -m awslambdaric "$_HANDLER"
"""
_ENTRYPOINT = """#!/bin/sh
[ $# -eq 0 ] || export _HANDLER="$1"
exec /var/runtime/bootstrap
"""
_VARIABLES = {
    "LANG": "en_US.UTF-8",
    "PATH": "/var/lang/bin:/usr/bin:/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib/machine:/opt/lib",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}


def make() -> None:
    """Makes the image. Raises CalledProcessError, with Docker's words, where Docker does not take it."""
    with TemporaryDirectory(prefix="whop-user-sync-") as folder:
        root = Path(folder)
        for name in ("var/task", "opt", "tmp", "proc", "sys", "dev"):
            (root / name).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        programs = [_copied(Path(str(shutil.which(name))), root / "bin" / name) for name in _PROGRAMS]
        programs += _copy_python(root / "var/lang")
        programs += _copy_runtime(root / "var/runtime")
        _copy_libraries(programs, root)
        _write(root / "var/runtime/bootstrap", _BOOTSTRAP)
        _write(root / "lambda-entrypoint.sh", _ENTRYPOINT)
        _write(root / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nsbx_user1051:x:993:990::/tmp:/sbin/nologin\n")
        _write(root / "etc/nsswitch.conf", "hosts: files dns\n")
        _import(root)


def _copy_python(into: Path) -> list[Path]:
    """CPython as it runs here, without its tests and tools. Returns the programs and libraries among its files."""
    base = Path(sys.base_prefix)
    library = into / "lib" / _PYTHON
    shutil.copytree(base / "lib" / _PYTHON, library, ignore=shutil.ignore_patterns(*_NOT_NEEDED))
    programs = [_copied(base / "bin" / _PYTHON, into / "bin" / _PYTHON)]
    for shared in (base / "lib").glob(f"lib{_PYTHON}.so*"):
        programs.append(_copied(shared, into / "lib" / shared.name))
    return [*programs, *library.rglob("*.so")]


def _copy_runtime(into: Path) -> list[Path]:
    """What AWS's image runs a handler with. Returns the libraries among its files."""
    into.mkdir()
    for package in runtime_packages():
        copy = shutil.copytree if package.is_dir() else shutil.copy2
        copy(package, into / package.name)
    return [*into.rglob("*.so")]


def _copy_libraries(programs: Iterable[Path], root: Path) -> None:
    """Every library of the system that the programs are linked with."""
    found: set[Path] = set()
    for program in programs:
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        found |= {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+)", linked, re.MULTILINE)}
    folders = {path.resolve().parent for path in found}
    found |= {folder / name for folder in folders for name in _LOADED_BY_NAME if (folder / name).exists()}
    for path in found:
        if path.name.startswith("ld-linux"):
            _copied(path, root / str(path).removeprefix("/"))  # programs name their loader by its path
        elif not path.is_relative_to(sys.base_prefix):
            _copied(path, root / "lib/machine" / path.name)


def _copied(file: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file.resolve(), to)
    return to


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _import(root: Path) -> None:
    changes = [f"ENV {name}={value}" for name, value in _VARIABLES.items()]
    changes += ["WORKDIR /var/task", 'ENTRYPOINT ["/lambda-entrypoint.sh"]']
    # Owned by root whichever user makes it, like AWS's.
    packed = ["tar", "--directory", str(root), "--owner=0", "--group=0", "--numeric-owner", "--create", "."]
    with subprocess.Popen(packed, stdout=subprocess.PIPE) as archive:
        subprocess.run(
            ["docker", "import", *(f"--change={change}" for change in changes), "-", IMAGE],
            stdin=archive.stdout,
            capture_output=True,
            check=True,
        )
