"""Shows what a webhook would become, and whether its signature is right. Nothing is sent anywhere.

The variables SIGNATURE_SCHEME, SIGNATURE_HEADER and so on mean what they mean to the receiver.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from whop_sync.receiving.platforms import PLATFORMS, configured
from whop_user_sync.preview import header_lines, payload_report, signature_report


def main() -> int:
    parser = argparse.ArgumentParser(prog="preview", description=__doc__)
    parser.add_argument("file", type=Path, help="the body as it was posted")
    parser.add_argument("--preset", required=True, help=", ".join(PLATFORMS))
    parser.add_argument("--overrides", default="", help="PayloadOverrides, or a file of them")
    parser.add_argument("--headers", type=Path, help="a file of the headers as they were posted, `Name: value` lines")
    parser.add_argument("--secret", help="the signing secret, or the JSON list of secrets that is stored on AWS")
    options = parser.parse_args()
    if not options.file.is_file():
        print("Say which file holds the body, as it was posted: FILE=payload.json", file=sys.stderr)
        return 1
    try:
        overrides = options.overrides
        if overrides and not overrides.lstrip().startswith("{"):
            overrides = Path(overrides).read_text()
        signature = {name: value for name, value in os.environ.items() if name.startswith("SIGNATURE_")}
        platform = configured({"PAYLOAD_PRESET": options.preset, "PAYLOAD_OVERRIDES": overrides, **signature})
        body = options.file.read_bytes()
        headers = header_lines(options.headers.read_text()) if options.headers else None
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    now = time.time()
    payload = payload_report(body, headers or {}, platform, now=now)
    check = signature_report(body, headers, options.secret, platform.scheme, now=now)
    print(f"Body, preset {options.preset}", *payload.lines, sep="\n  ")
    print(f"\nSignature, scheme {platform.scheme.name}", *check.lines, sep="\n  ")
    return 0 if payload.sound and check.sound else 1


if __name__ == "__main__":
    sys.exit(main())
