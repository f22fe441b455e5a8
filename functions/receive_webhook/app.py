"""POST /webhooks: checks the signature of a delivery and stores it in a queue."""

from typing import Any

from whop_sync import assembly

receiver = assembly.receiver()


def handler(event: Any, _context: object) -> Any:
    # An HTTP request only ever fills the values of API Gateway's own keys, so it cannot ask for a redelivery.
    return receiver.redeliver(event["redelivery"]) if event.keys() == {"redelivery"} else receiver.answer(event)
