"""Run the fake by itself: `python -m fake_whop --port 4680 --upload-port 4681`."""

import argparse
import signal
import threading

from fake_whop import PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop


def main() -> None:
    parser = argparse.ArgumentParser(prog="fake_whop", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=4680, help="of the API and the page")
    parser.add_argument("--upload-port", type=int, default=4681, help="of uploads and pictures")
    parser.add_argument("--public-url", help="how clients reach the upload port, e.g. http://host.docker.internal:4681")
    parser.add_argument("--api-key", default=PLATFORM_KEY)
    parser.add_argument("--company-id", default=PLATFORM_COMPANY)
    options = parser.parse_args()
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    with FakeWhop(
        host=options.host,
        port=options.port,
        upload_port=options.upload_port,
        public_upload_url=options.public_url,
        api_key=options.api_key,
        company_id=options.company_id,
    ) as whop:
        print(f"API {whop.api_url}\nUploads {whop.upload_url}\nPage {whop.control_url}/", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
