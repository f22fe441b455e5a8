"""Whether a captured signature is right, and if not, what would make it so."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from whop_sync.aws.api_gateway import HttpEvent
from whop_sync.errors import Malformed, Unauthentic
from whop_sync.receiving.deliveries import authenticated, is_ping
from whop_sync.receiving.platforms import Platform
from whop_sync.receiving.signatures import CONTENTS, Hmac, KeyForm, Scheme, Standard, parse_secrets

_FOREVER = 10**15
_DECADES = 20 * 365 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureReport:
    """`is_right` is None where nothing was checked. `signed_at` is in Unix seconds."""

    is_right: bool | None
    verdict: str
    signed_at: float | None = None


def http_event(body: bytes, headers: Mapping[str, str]) -> HttpEvent:
    """A request as API Gateway hands it over."""
    return {"headers": headers, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def is_own_test(body: bytes, headers: Mapping[str, str], platform: Platform, *, now: float) -> bool:
    """Whether a request is the unsigned one with which the platform tries the address."""
    try:
        platform.scheme.verify(body, headers, (), now=now)
    except Unauthentic as refusal:
        return is_ping(http_event(body, headers), platform, refusal)
    return False


def signature_report(
    body: bytes, headers: Mapping[str, str] | None, secret: str | None, platform: Platform, *, now: float
) -> SignatureReport:
    """Whether a captured signature is right. `secret` is a secret, or what is stored on AWS."""
    if secret is None:
        return SignatureReport(
            is_right=None, verdict="Not checked: give --headers and --secret for that (HEADERS and SECRET with make)."
        )
    try:
        keys = parse_secrets(secret, platform.scheme)
    except ValueError as error:
        return SignatureReport(is_right=False, verdict=f"✗ {error}")
    if headers is None or is_own_test(body, headers, platform, now=now):
        verdict = "None, and none is needed: it is the platform's own test of the address."
        if headers is None:
            verdict = "The secret has the right form. Give --headers too, to check a signature (HEADERS with make)."
        return SignatureReport(is_right=None, verdict=verdict)
    check = _Check(headers=headers, secret=secret, platform=platform, now=now)
    refusal = check.refusal(body, platform.scheme, keys)
    if refusal is None:
        return SignatureReport(
            is_right=True, verdict="✓ The signature is right.", signed_at=check.signed_at(body, keys)
        )
    trouble = check.trouble(body, keys, refusal)
    if trouble is None:
        verdict = "✓ The signature is right, but was not made now: it is taken for some minutes only."
        return SignatureReport(is_right=True, verdict=verdict, signed_at=check.signed_at(body, keys))
    return SignatureReport(is_right=False, verdict=f"✗ {trouble}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    headers: Mapping[str, str]
    secret: str
    platform: Platform
    now: float

    def refusal(self, body: bytes, scheme: Scheme, keys: Sequence[bytes]) -> Unauthentic | None:
        """Why the receiver would refuse the delivery, with another scheme in its place."""
        platform = replace(self.platform, scheme=scheme)
        try:
            authenticated(http_event(body, self.headers), platform, keys, now=self.now)
        except Unauthentic as error:
            return error
        except Malformed:  # too large: the signature was right
            return None
        return None

    def signed_at(self, body: bytes, keys: Sequence[bytes]) -> float | None:
        try:
            return _timeless(self.platform.scheme).verify(body, self.headers, keys, now=self.now).signed_at
        except Unauthentic:
            return None  # a token that has expired

    def trouble(self, body: bytes, keys: Sequence[bytes], refusal: Unauthentic) -> str | None:
        """What is wrong with a signature whatever its age. A JSON Web Token is asked for its age after all else."""
        scheme = _timeless(self.platform.scheme)
        again = self.refusal(body, scheme, keys)
        if again is not None and again.reason not in ("timestamp_too_old", "timestamp_in_future"):
            if again.reason == "wrong_signature":
                return self._remedy(body, keys, scheme) or (
                    "The signature is another one: a wrong secret, or the file is not byte for byte what was posted."
                )
            return f"{_sentence(again)} ({again.reason})."
        if isinstance(scheme, Hmac) and self.refusal(body, replace(scheme, tolerance=_DECADES), keys):
            return f"The time is not in the unit {scheme.unit}, or decades off: {refusal.explanation}."
        return None

    def _remedy(self, body: bytes, keys: Sequence[bytes], scheme: Scheme) -> str | None:
        """What would make the signature right, if it is one of the usual things."""
        bodies = {
            "The file has a line break at its end, which is not what was signed.": body.rstrip(b"\r\n"),
            "The file lacks the line break at its end that was signed.": body + b"\n",
            "The file begins with a byte order mark, which is not what was signed.": body.removeprefix(b"\xef\xbb\xbf"),
            "The file's lines end as on Windows, which is not what was signed.": body.replace(b"\r\n", b"\n"),
        }
        for sentence, other in bodies.items():
            if other != body and self.refusal(other, scheme, keys) is None:
                return sentence
        for setting, other_scheme in _other_schemes(scheme):
            try:
                other_keys = parse_secrets(self.secret, other_scheme)
            except ValueError:
                continue
            if self.refusal(body, other_scheme, other_keys) is None:
                return f"The signature is right with {setting}: set that."
        return None


def _timeless(scheme: Scheme) -> Scheme:
    return replace(scheme, tolerance=_FOREVER) if isinstance(scheme, (Standard, Hmac)) else scheme


def _other_schemes(scheme: Scheme) -> Iterator[tuple[str, Scheme]]:
    """Schemes that differ in one setting, and the setting."""
    if isinstance(scheme, Standard):
        yield (
            "SignatureScheme hmac of {id}.{timestamp}.{body}, since the secret's text is the key",
            Hmac(
                header="webhook-signature",
                prefix="v1,",
                encoding="base64",
                content="{id}.{timestamp}.{body}",
                timestamp_header="webhook-timestamp",
                id_header="webhook-id",
                tolerance=_FOREVER,
            ),
        )
    if not isinstance(scheme, Hmac):
        return
    for form in get_args(KeyForm.__value__):
        if form != scheme.key_form:
            yield f"SignatureKey {form}", replace(scheme, key_form=form)
    if scheme.signs_time:
        contents = ["{timestamp}.{body}", "{timestamp}:{body}", "v0:{timestamp}:{body}", "{timestamp}{body}"]
        contents += ["{timestamp},{body}", "{body}{timestamp}", "{body}.{timestamp}"]
    else:
        contents = []
    for content in [*contents, "{body}"]:
        if content != scheme.template:
            prefix = scheme.prefix or ("v1=" if scheme.signs_time and not scheme.timestamp_header else "")
            short = next((name for name, template in CONTENTS.items() if template == content), content)
            yield f"SignatureContent {short}", replace(scheme, content=content, prefix=prefix)


def _sentence(error: Unauthentic) -> str:
    text = error.explanation or error.reason
    return text[:1].upper() + text[1:]
