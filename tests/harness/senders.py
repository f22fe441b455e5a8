"""Senders that no preset names: the settings they need, and a delivery signed as their documents describe.

Every signature is made here with hmac and hashlib alone, so that it agrees with the code under test by the senders'
documents and by nothing else.
"""

import base64
import dataclasses
import hashlib
import hmac

from whop_sync.receiving.signatures import Proof

NOW = 1_772_359_200.5
"""The time of each signature, 2026-03-01 10:00:00.5 UTC."""

TEXT = "a secret that is plain text"
USER = b'{"type":"user.updated","timestamp":"2026-03-01T10:00:00Z","data":{"id":"u1","name":"Ann"}}'
SECONDS, MILLISECONDS, ISO = str(int(NOW)), str(int(NOW * 1000)), "2026-03-01T10:00:00Z"


def mac(content: bytes, algorithm: str = "sha256", key: bytes = TEXT.encode()) -> bytes:
    return hmac.new(key, content, getattr(hashlib, algorithm)).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@dataclasses.dataclass(frozen=True)
class Sender:
    settings: dict[str, str]
    sent: dict[str, str]
    secret: str = TEXT
    proof: Proof = dataclasses.field(default_factory=Proof)


TIME_SIGNED = Proof(signed_at=int(NOW))

SENDERS = {
    # https://api.slack.com/authentication/verifying-requests-from-slack
    "slack": Sender(
        {
            "SIGNATURE_HEADER": "X-Slack-Signature",
            "SIGNATURE_PREFIX": "v0=",
            "SIGNATURE_CONTENT": "v0:{timestamp}:{body}",
            "SIGNATURE_TIMESTAMP_HEADER": "X-Slack-Request-Timestamp",
        },
        {
            "x-slack-signature": "v0=" + mac(b"v0:" + SECONDS.encode() + b":" + USER).hex(),
            "x-slack-request-timestamp": SECONDS,
        },
        proof=TIME_SIGNED,
    ),
    # https://developers.zoom.us/docs/api/webhooks/
    "zoom": Sender(
        {
            "SIGNATURE_HEADER": "x-zm-signature",
            "SIGNATURE_PREFIX": "v0=",
            "SIGNATURE_CONTENT": "v0:{timestamp}:{body}",
            "SIGNATURE_TIMESTAMP_HEADER": "x-zm-request-timestamp",
        },
        {
            "x-zm-signature": "v0=" + mac(b"v0:" + SECONDS.encode() + b":" + USER).hex(),
            "x-zm-request-timestamp": SECONDS,
        },
        proof=TIME_SIGNED,
    ),
    # https://customer.io/docs/api/webhooks/
    "customer.io": Sender(
        {
            "SIGNATURE_HEADER": "x-cio-signature",
            "SIGNATURE_CONTENT": "v0:{timestamp}:{body}",
            "SIGNATURE_TIMESTAMP_HEADER": "x-cio-timestamp",
        },
        {"x-cio-signature": mac(b"v0:" + SECONDS.encode() + b":" + USER).hex(), "x-cio-timestamp": SECONDS},
        proof=TIME_SIGNED,
    ),
    # https://developer.paddle.com/webhooks/signature-verification
    "paddle": Sender(
        {
            "SIGNATURE_HEADER": "paddle-signature",
            "SIGNATURE_PREFIX": "h1=",
            "SIGNATURE_CONTENT": "{timestamp}:{body}",
            "SIGNATURE_TIMESTAMP_PREFIX": "ts=",
        },
        {"paddle-signature": f"ts={SECONDS};h1=" + mac(SECONDS.encode() + b":" + USER).hex()},
        proof=TIME_SIGNED,
    ),
    # https://developers.webflow.com/data/docs/working-with-webhooks
    "webflow": Sender(
        {
            "SIGNATURE_HEADER": "x-webflow-signature",
            "SIGNATURE_CONTENT": "{timestamp}:{body}",
            "SIGNATURE_TIMESTAMP_HEADER": "x-webflow-timestamp",
            "SIGNATURE_TIMESTAMP_UNIT": "ms",
        },
        {
            "x-webflow-signature": mac(MILLISECONDS.encode() + b":" + USER).hex(),
            "x-webflow-timestamp": MILLISECONDS,
        },
        proof=Proof(signed_at=NOW),
    ),
    # https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/
    "grafana": Sender(
        {
            "SIGNATURE_HEADER": "X-Grafana-Alerting-Signature",
            "SIGNATURE_CONTENT": "{timestamp}:{body}",
            "SIGNATURE_TIMESTAMP_HEADER": "X-Grafana-Alerting-Timestamp",
        },
        {
            "x-grafana-alerting-signature": mac(SECONDS.encode() + b":" + USER).hex(),
            "x-grafana-alerting-timestamp": SECONDS,
        },
        proof=TIME_SIGNED,
    ),
    # https://getconvoy.io/docs/product-manual/signatures, simple
    "convoy simple": Sender(
        {"SIGNATURE_HEADER": "x-convoy-signature", "SIGNATURE_ALGORITHM": "sha512"},
        {"x-convoy-signature": mac(USER, "sha512").hex()},
    ),
    # the same, advanced: with one entry for each secret, and one that an older version made
    "convoy advanced": Sender(
        {
            "SIGNATURE_HEADER": "x-convoy-signature",
            "SIGNATURE_ALGORITHM": "sha512",
            "SIGNATURE_ENCODING": "base64",
            "SIGNATURE_CONTENT": "{timestamp},{body}",
        },
        {
            "x-convoy-signature": f"t={SECONDS},v1="
            + b64(mac(b"x", "sha512"))
            + ",v1="
            + b64(mac(SECONDS.encode() + b"," + USER, "sha512"))
            + ",v0=abcd"
        },
        proof=TIME_SIGNED,
    ),
    # https://ghost.org/docs/webhooks/ since version 5.87
    "ghost": Sender(
        {
            "SIGNATURE_HEADER": "x-ghost-signature",
            "SIGNATURE_PREFIX": "sha256=",
            "SIGNATURE_CONTENT": "{body}{timestamp}",
            "SIGNATURE_TIMESTAMP_UNIT": "ms",
        },
        {"x-ghost-signature": f"sha256={mac(USER + MILLISECONDS.encode()).hex()}, t={MILLISECONDS}"},
        proof=Proof(signed_at=NOW),
    ),
    # https://developer.zendesk.com/documentation/webhooks/verifying/
    "zendesk": Sender(
        {
            "SIGNATURE_HEADER": "X-Zendesk-Webhook-Signature",
            "SIGNATURE_ENCODING": "base64",
            "SIGNATURE_CONTENT": "{timestamp}{body}",
            "SIGNATURE_TIMESTAMP_HEADER": "X-Zendesk-Webhook-Signature-Timestamp",
            "SIGNATURE_TIMESTAMP_UNIT": "iso",
        },
        {
            "x-zendesk-webhook-signature": b64(mac(ISO.encode() + USER)),
            "x-zendesk-webhook-signature-timestamp": ISO,
        },
        proof=TIME_SIGNED,
    ),
    # https://developer.box.com/guides/webhooks/v2/signatures-v2/
    "box": Sender(
        {
            "SIGNATURE_HEADER": "box-signature-primary",
            "SIGNATURE_ENCODING": "base64",
            "SIGNATURE_CONTENT": "{body}{timestamp}",
            "SIGNATURE_TIMESTAMP_HEADER": "box-delivery-timestamp",
            "SIGNATURE_TIMESTAMP_UNIT": "iso",
        },
        {
            "box-signature-primary": b64(mac(USER + b"2026-03-01T02:00:00-08:00")),
            "box-delivery-timestamp": "2026-03-01T02:00:00-08:00",
        },
        proof=TIME_SIGNED,
    ),
    # https://segment.com/docs/connections/destinations/catalog/webhooks/
    "segment": Sender(
        {"SIGNATURE_HEADER": "x-signature", "SIGNATURE_ALGORITHM": "sha1"},
        {"x-signature": mac(USER, "sha1").hex()},
    ),
    # https://vercel.com/docs/webhooks/webhooks-api
    "vercel": Sender(
        {"SIGNATURE_HEADER": "x-vercel-signature", "SIGNATURE_ALGORITHM": "sha1"},
        {"x-vercel-signature": mac(USER, "sha1").hex()},
    ),
    # https://developers.intercom.com/docs/webhooks/setting-up-webhooks
    "intercom": Sender(
        {"SIGNATURE_HEADER": "x-hub-signature", "SIGNATURE_ALGORITHM": "sha1", "SIGNATURE_PREFIX": "sha1="},
        {"x-hub-signature": "sha1=" + mac(USER, "sha1").hex()},
    ),
    # https://polar.sh/docs/integrate/webhooks/endpoints: the text of the secret is the key
    "polar": Sender(
        {
            "SIGNATURE_HEADER": "webhook-signature",
            "SIGNATURE_PREFIX": "v1,",
            "SIGNATURE_ENCODING": "base64",
            "SIGNATURE_CONTENT": "{id}.{timestamp}.{body}",
            "SIGNATURE_TIMESTAMP_HEADER": "webhook-timestamp",
            "SIGNATURE_ID_HEADER": "webhook-id",
        },
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": SECONDS,
            "webhook-signature": "v1," + b64(mac(b"msg_1." + SECONDS.encode() + b"." + USER)),
        },
        proof=Proof("msg_1", int(NOW)),
    ),
    # https://outpost.hookdeck.com/docs/references/configuration, as it is and as it was before version 0.13: while a
    # secret is rotated, several signatures share one name
    "outpost": Sender(
        {"SIGNATURE_HEADER": "x-outpost-signature", "SIGNATURE_PREFIX": "v0="},
        {"x-outpost-signature": "v0=" + mac(b"x").hex() + "," + mac(USER, key=b"whsec_0123456789abcdef").hex()},
        secret="whsec_0123456789abcdef",
    ),
    "outpost, older": Sender(
        {
            "SIGNATURE_HEADER": "x-outpost-signature",
            "SIGNATURE_PREFIX": "v0=",
            "SIGNATURE_CONTENT": "timestamp.body",
        },
        {"x-outpost-signature": f"t={SECONDS},v0=" + mac(SECONDS.encode() + b"." + USER).hex()},
        proof=TIME_SIGNED,
    ),
    # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/
    "twitch": Sender(
        {
            "SIGNATURE_HEADER": "Twitch-Eventsub-Message-Signature",
            "SIGNATURE_PREFIX": "sha256=",
            "SIGNATURE_CONTENT": "{id}{timestamp}{body}",
            "SIGNATURE_TIMESTAMP_HEADER": "Twitch-Eventsub-Message-Timestamp",
            "SIGNATURE_TIMESTAMP_UNIT": "iso",
            "SIGNATURE_ID_HEADER": "Twitch-Eventsub-Message-Id",
        },
        {
            "twitch-eventsub-message-id": "e76c",
            "twitch-eventsub-message-timestamp": "2026-03-01T10:00:00.123456789Z",
            "twitch-eventsub-message-signature": "sha256=" + mac(b"e76c2026-03-01T10:00:00.123456789Z" + USER).hex(),
        },
        proof=Proof("e76c", 1_772_359_200.123456),
    ),
    # https://appwrite.io/docs/advanced/platform/webhooks: the URL that was entered there is signed too
    "appwrite": Sender(
        {
            "SIGNATURE_HEADER": "x-appwrite-webhook-signature",
            "SIGNATURE_ENCODING": "base64",
            "SIGNATURE_ALGORITHM": "sha1",
            "SIGNATURE_CONTENT": "https://hooks.test/webhooks{body}",
        },
        {"x-appwrite-webhook-signature": b64(mac(b"https://hooks.test/webhooks" + USER, "sha1"))},
    ),
    # https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests, version 3
    "hubspot": Sender(
        {
            "SIGNATURE_HEADER": "X-HubSpot-Signature-V3",
            "SIGNATURE_ENCODING": "base64",
            "SIGNATURE_CONTENT": "POSThttps://hooks.test/webhooks{body}{timestamp}",
            "SIGNATURE_TIMESTAMP_HEADER": "X-HubSpot-Request-Timestamp",
            "SIGNATURE_TIMESTAMP_UNIT": "ms",
        },
        {
            "x-hubspot-signature-v3": b64(mac(b"POSThttps://hooks.test/webhooks" + USER + MILLISECONDS.encode())),
            "x-hubspot-request-timestamp": MILLISECONDS,
        },
        proof=Proof(signed_at=NOW),
    ),
    # https://github.com/sanity-io/webhook-toolkit: base64 for URLs, without padding
    "sanity": Sender(
        {
            "SIGNATURE_HEADER": "sanity-webhook-signature",
            "SIGNATURE_ENCODING": "base64",
            "SIGNATURE_CONTENT": "timestamp.body",
            "SIGNATURE_TIMESTAMP_UNIT": "ms",
        },
        {
            "sanity-webhook-signature": f"t={MILLISECONDS},v1="
            + base64.urlsafe_b64encode(mac(f"{MILLISECONDS}.".encode() + USER)).decode().rstrip("=")
        },
        proof=Proof(signed_at=NOW),
    ),
    # https://docs.withpersona.com/docs/webhooks-best-practices: two sets while a secret is rotated
    "persona": Sender(
        {"SIGNATURE_HEADER": "Persona-Signature", "SIGNATURE_CONTENT": "timestamp.body"},
        {
            "persona-signature": f"t={SECONDS},v1={mac(b'of the old secret').hex()}"
            f" t={SECONDS},v1={mac(f'{SECONDS}.'.encode() + USER).hex()}"
        },
        proof=TIME_SIGNED,
    ),
    "a signature in quotes": Sender(
        {"SIGNATURE_HEADER": "x-s", "SIGNATURE_PREFIX": "signature="},
        {"x-s": f'keyId="1", algorithm="hmac-sha256", signature="{mac(USER).hex()}"'},
    ),
    "a key in hex": Sender(
        {"SIGNATURE_HEADER": "x-s", "SIGNATURE_KEY": "hex"},
        {"x-s": mac(USER, key=bytes(range(16))).hex()},
        secret=bytes(range(16)).hex(),
    ),
    "a key in base64": Sender(
        {"SIGNATURE_HEADER": "x-s", "SIGNATURE_KEY": "base64"},
        {"x-s": mac(USER, key=bytes(range(16))).hex()},
        secret=b64(bytes(range(16))),
    ),
    "a key in base64 for URLs": Sender(
        {"SIGNATURE_HEADER": "x-s", "SIGNATURE_KEY": "base64"},
        {"x-s": mac(USER, key=b"\xfb\xef" * 16).hex()},
        secret=base64.urlsafe_b64encode(b"\xfb\xef" * 16).decode().rstrip("="),
    ),
}
