"""A PostConfirmation trigger of Amazon Cognito. Set WEBHOOK_URL and WEBHOOK_SECRET; send_webhook.py lies beside it."""

from datetime import UTC, datetime

from send_webhook import send


def handler(event, context):
    if event["triggerSource"] == "PostConfirmation_ConfirmSignUp":
        user = event["request"]["userAttributes"]
        name = user.get("name") or " ".join(filter(None, [user.get("given_name"), user.get("family_name")]))
        data = {"id": user["sub"], "email": user.get("email"), "name": name, "avatar_url": user.get("picture")}
        timestamp = datetime.now(UTC).isoformat()
        try:
            send(f"signup-{user['sub']}", {"type": "user.created", "timestamp": timestamp, "data": data})
        except OSError as error:  # an error would break the sign-up
            print("not sent:", type(error).__name__)
    return event
