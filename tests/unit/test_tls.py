"""What the TLS trust store holds, in a layer that was laid out by its build and in one that was not."""

import shutil
import ssl
from pathlib import Path

import pytest
import trustme

from slim_layer import lay_out_authorities
from whop_sync.tls import context_for, default_context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(params=["one file", "by hash"])
def bundle(request: pytest.FixtureRequest, authority: trustme.CA, tmp_path: Path) -> Path:
    """A file of certificates among whose authorities is ours."""
    path = tmp_path / "cacert.pem"
    stranger = trustme.CA(key_type=trustme.KeyType.ECDSA)
    path.write_bytes(stranger.cert_pem.bytes() + authority.cert_pem.bytes())
    if request.param == "by hash":
        if shutil.which("openssl") is None:
            pytest.skip("without openssl the layer's build leaves the certificates in one file")
        lay_out_authorities(path)
        path.unlink()  # so it is not what is read
    return path


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """A TLS handshake without a network. Raises SSLError as either side does."""
    inbound, outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(inbound, outbound, server_hostname=name)
    theirs = server.wrap_bio(outbound, inbound, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert ours.version()


def server_of(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("api.test", key_type=trustme.KeyType.ECDSA).configure_cert(context)
    return context


def test_a_server_that_a_listed_authority_vouches_for_is_trusted(bundle: Path, authority: trustme.CA) -> None:
    shake_hands(context_for(bundle), server_of(authority), "api.test")


def test_a_server_of_an_authority_that_is_not_listed_is_refused(bundle: Path) -> None:
    stranger = trustme.CA(key_type=trustme.KeyType.ECDSA)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context_for(bundle), server_of(stranger), "api.test")


def test_a_server_of_another_name_is_refused(bundle: Path, authority: trustme.CA) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context_for(bundle), server_of(authority), "other.test")


def test_authorities_of_one_name_are_all_trusted(tmp_path: Path) -> None:
    """Certificates whose names have the same hash stand beside each other."""
    if shutil.which("openssl") is None:
        pytest.skip("without openssl the layer's build leaves the certificates in one file")
    namesakes = [
        trustme.CA(organization_name="One", organization_unit_name="Root", key_type=trustme.KeyType.ECDSA)
        for _ in range(3)
    ]
    path = tmp_path / "cacert.pem"
    path.write_bytes(b"".join(each.cert_pem.bytes() for each in namesakes))
    lay_out_authorities(path)
    for each in namesakes:
        shake_hands(context_for(path), server_of(each), "api.test")


def test_outside_of_a_layer_the_world_is_trusted_all_the_same() -> None:
    assert len(default_context().get_ca_certs()) > 50
    assert (default_context().verify_mode, default_context().check_hostname) == (ssl.CERT_REQUIRED, True)
