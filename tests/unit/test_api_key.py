"""An API key is taken as people paste it, or refused with the mistake named, before it is sent to Whop."""

import pytest

from whop_sync.errors import OperatorNeeded
from whop_sync.whop.api_key import parse_api_key


@pytest.mark.parametrize(
    "secret",
    [
        "apik_1",
        "apik_1\n",
        "  apik_1 ",
        '"apik_1"',
        "'apik_1'",
        '{"whop_api_key": "apik_1"}',
        '{"WHOP_API_KEY":"apik_1"}\n',
        '["apik_1"]',
        "WHOP_API_KEY=apik_1",
        'export WHOP_API_KEY="apik_1"',
        "whop_api_key=apik_1",
        "apiKey: apik_1",
        '{"key": "\\"apik_1\\""}',
        "Bearer apik_1",
        "\ufeffapik_1",
    ],
)
def test_a_key_is_taken_out_of_what_is_around_it(secret: str) -> None:
    assert parse_api_key(secret) == "apik_1"


@pytest.mark.parametrize("key", ["whop_Ab-9_~./+x==", "apik_C0ffee", "anything-else", "a" * 300])
def test_no_prefix_is_asked_for(key: str) -> None:
    assert parse_api_key(key) == key


@pytest.mark.parametrize(
    ("secret", "mistake"),
    [
        ("two words", "one word"),
        ("line\nbreak", "one word"),
        ("schlüssel", "plain ASCII"),
        ("WHOP_API_KEY=", "without a value"),
        ('{"a": "apik_1", "b": "apik_2"}', "object with 2 keys"),
        ('{"key": "apik_1", "key": "apik_2"}', "object with 2 keys"),
        ('{"apik_1": ""}', "pasted as the key"),
        ('["apik_1", "apik_2"]', "list of 2 texts"),
        ('{"key": 5}', "must be a text"),
        ("{apik_1}", "begins like JSON"),
        ("\udc80\udc81", "SecretBinary"),
        ("biz_12345678", "id of a company"),
        ("whsec_aaaaaaaaaaaaaaaaaaaa", "signing secret of a webhook"),
        ("ws_aaaaaaaaaaaaaaaaaaaa", "Whop's own webhooks"),
    ],
)
def test_a_mistake_is_named_and_no_part_of_the_secret_is_shown(secret: str, mistake: str) -> None:
    with pytest.raises(OperatorNeeded) as refusal:
        parse_api_key(secret)
    assert refusal.value.reason == "whop_api_key_invalid"
    assert mistake in refusal.value.explanation
    assert not any(part in refusal.value.explanation for part in ("apik_1", "12345678", "aaaaaaaa", "schl"))
