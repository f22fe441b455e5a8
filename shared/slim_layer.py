"""Makes an installed layer start quicker. The Makefile calls it: `python slim_layer.py LAYER`; it does not ship.

Nothing is taken out that could be asked for: the models of AWS services that are never called, their entries in the
list of endpoints, and the words of the documentation inside the models, which make up four fifths of them.

The authorities' certificates are laid out a second time, one file each under the hash that OpenSSL looks them up by. So
TLS reads the one it needs when it needs it, and not all of them at each start.
"""

import gzip
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

SERVICES = ("dynamodb", "events", "s3", "sqs", "secretsmanager")
"""The AWS services that are called."""


def slim_models(data: Path) -> None:
    """`data` is botocore's folder of that name."""
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in SERVICES:
            shutil.rmtree(folder)
    for packed in data.glob("*/*/*.json.gz"):
        model = _undocumented(json.loads(gzip.decompress(packed.read_bytes())))
        packed.with_suffix("").write_text(json.dumps(model, separators=(",", ":")))
        packed.unlink()
    for examples in data.glob("*/*/examples-1.json"):
        examples.unlink()
    endpoints = data / "endpoints.json"
    document = json.loads(endpoints.read_text())
    for partition in document["partitions"]:
        partition["services"] = {name: each for name, each in partition["services"].items() if name in SERVICES}
    endpoints.write_text(json.dumps(document))


def lay_out_authorities(bundle: Path) -> None:
    """Writes a folder `by-hash` beside a file of certificates, as `openssl rehash` does. Without openssl, none."""
    openssl = shutil.which("openssl")
    if openssl is None:
        print(
            "openssl is not on PATH: functions read all certificates at their start, which is slower", file=sys.stderr
        )
        return
    folder = bundle.with_name("by-hash")
    folder.mkdir()
    taken: Counter[str] = Counter()
    for certificate in re.findall(r"-----BEGIN CERT.+?-----END CERTIFICATE-----\n", bundle.read_text(), re.DOTALL):
        command = [openssl, "x509", "-noout", "-hash"]
        name = subprocess.run(command, input=certificate, capture_output=True, text=True, check=True).stdout.strip()
        # Several authorities may have one name; OpenSSL tries .0, .1 and so on.
        (folder / f"{name}.{taken[name]}").write_text(certificate)
        taken[name] += 1


def _undocumented(model: Any) -> Any:
    """Empties the texts and keeps their keys, which the SDK looks up here and there."""
    if isinstance(model, dict):
        return {
            # A shape may well have a member of this name, which is no text.
            key: "" if key == "documentation" and isinstance(value, str) else _undocumented(value)
            for key, value in model.items()
        }
    return [_undocumented(each) for each in model] if isinstance(model, list) else model


if __name__ == "__main__":
    layer = Path(sys.argv[1])
    slim_models(layer / "botocore" / "data")
    lay_out_authorities(layer / "certifi" / "cacert.pem")
