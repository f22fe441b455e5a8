import base64, hmac, json, os, time, urllib.request, uuid
from datetime import UTC, datetime


def send(event_type, user):
    now = datetime.now(UTC).isoformat()
    body = json.dumps({"type": event_type, "timestamp": now, "data": user}).encode()
    message_id, timestamp = f"msg_{uuid.uuid4().hex}", str(int(time.time()))
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    signature = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    request = urllib.request.Request(os.environ["WEBHOOK_URL"], body, {
        "content-type": "application/json", "webhook-id": message_id, "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(signature).decode()})
    urllib.request.urlopen(request, timeout=10).close()  # raises unless it is stored: send it again later
