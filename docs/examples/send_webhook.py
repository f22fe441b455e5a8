import base64, hmac, json, os, time, urllib.request


def send(message_id, event):
    """Sends one event, such as a row of your outbox. After a failure send the same id and event again."""
    body, timestamp = json.dumps(event).encode(), str(int(time.time()))
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    signature = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    request = urllib.request.Request(os.environ["WEBHOOK_URL"], body, {
        "content-type": "application/json", "webhook-id": message_id, "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(signature).decode(),
    })
    urllib.request.urlopen(request, timeout=10).close()  # raises unless the event is stored
