"""What integration tests share: an authority of their own, whose hosts are trusted, and a function's clocks."""

import ssl

import pytest
import trustme

from harness import Later
from harness.aws_models import compare_every_call

compare_every_call()  # the local engine takes what AWS refuses


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Issues the certificates of hosts on loopback."""
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """What a client has that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """The clocks of functions that are started in this process."""
    later = Later()
    monkeypatch.setattr("whop_sync.assembly.time", later)
    return later
