"""The platforms known here: how each proves its deliveries and what its bodies mean, as one table.

A new platform is a new row, or no code at all: every setting of a row can be given by configuration.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from whop_sync.receiving.payloads import STANDARD, Preset, check, check_times, checked_enroll_if
from whop_sync.receiving.signature_settings import configured_scheme
from whop_sync.receiving.signatures import Hmac, Jwt, Scheme, Standard, Token
from whop_sync.values import distinct_keys

MAX_OVERRIDES_BYTES = 2350
"""Lambda's environment holds 4 KB in all, and the names and addresses in it take up to 1.5 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """
    Attributes:
        ping: a regular expression for the whole of an unsigned body with which the platform tries an address, and which
            it wants answered 200; empty where there is none.
        enroll_if: an expression on the body that is true of users who are to be enrolled; empty where all are.
    """

    scheme: Scheme
    preset: Preset
    ping: str = ""
    enroll_if: str = ""


# Other platforms' secrets and API keys, which people paste by mistake.
_FOREIGN = r"(?!whsec_|v1,|sk_)"
_FOREIGN_RULE = "those with whsec_ before them belong to Standard Webhooks or Stripe, those with sk_ are API keys"

_STRIPE = r"whsec_"

# Pictures made from initials or from a hash of the e-mail address, where the user has not uploaded one.
_GRAVATAR = r"https?://([^/]+\.)?gravatar\.com/.*[?&]d="

# Logto sends on what its own API answered. For some calls that is not the user but a part of one, with keys of anyone's
# choosing: it is the user only if it carries the id that the call was about, where there was a call.
_LOGTO_USER = "(data.id && (!(params.userId) || params.userId == data.id) && data || user)"

_HASURA_TABLES = ("auth.users", "public.users", "public.profiles")
_HASURA = Preset(
    event="join('.', [table.schema, table.name, event.op])",
    created=tuple(f"{table}.INSERT" for table in _HASURA_TABLES),
    updated=tuple(f"{table}.{operation}" for table in _HASURA_TABLES for operation in ("UPDATE", "MANUAL")),
    deleted=tuple(f"{table}.DELETE" for table in _HASURA_TABLES),
    event_id="id",
    user_id="event.data.new.id",
    deleted_user_id="event.data.old.id",
    email="event.data.new.email",
    name=(
        "event.data.new.display_name",
        "event.data.new.full_name",
        "event.data.new.name",
        "event.data.new.[first_name, last_name]",
    ),
    picture=("event.data.new.avatar_url",),
    version=(
        "event.data.new.updated_at != event.data.old.updated_at && event.data.new.updated_at || ''",
        "created_at",
    ),
    event_time=("created_at",),
    default_pictures=(_GRAVATAR,),
)

_APPWRITE = """contains(delivery.headers."x-appwrite-webhook-events" || '', join('', ['users.', "$id", '.{}']))"""

PLATFORMS: Mapping[str, Platform] = {
    "standard": Platform(scheme=Standard(), preset=STANDARD),
    # Clerk: the primary address is named by id and may not exist; image_url is always filled, with a generated
    # picture unless has_image says otherwise; times are in milliseconds. A ban arrives as an update; `locked` is
    # temporary, after failed sign-ins, and no ban.
    "clerk": Platform(
        scheme=Standard(),
        preset=Preset(
            event="type",
            created=("user.created",),
            updated=("user.updated",),
            deleted=("user.deleted",),
            user_id="data.id",
            email="find_by(data.email_addresses, 'id', data.primary_email_address_id).email_address",
            name=("data.[first_name, last_name]", "data.username"),
            picture=("data.has_image && data.image_url",),
            version=("data.updated_at", "timestamp"),
            event_time=("timestamp",),
            blocked="data.banned",
        ),
    ),
    # WorkOS: the signature's time is in milliseconds. dsync.user.* speaks of another thing, a directory's user. A
    # deletion shows the whole user with the updated_at of the last update.
    "workos": Platform(
        scheme=Hmac(
            header="workos-signature",
            content="timestamp.body",
            unit="ms",
            secret_form=_FOREIGN,
            secret_rule=_FOREIGN_RULE,
        ),
        preset=Preset(
            event="event",
            created=("user.created",),
            updated=("user.updated",),
            deleted=("user.deleted",),
            event_id="id",
            user_id="data.id",
            email="data.email",
            name=("data.[first_name, last_name]", "data.name"),
            picture=("data.profile_picture_url",),
            version=("data.updated_at", "created_at"),
            event_time=("created_at",),
        ),
    ),
    # Supabase's auth hook: a new delivery id at every attempt, no hook for updates; the user's own times are those of
    # the year 1 until the user is stored.
    "supabase-auth": Platform(
        scheme=Standard(),
        preset=Preset(
            event="metadata.name",
            created=("before-user-created", "after-user-created"),
            updated=(),
            event_id="metadata.uuid",
            user_id="user.id",
            email="user.email",
            name=(
                "user.user_metadata.full_name",
                "user.user_metadata.name",
                "user.user_metadata.[given_name, family_name]",
            ),
            picture=("user.user_metadata.avatar_url", "user.user_metadata.picture"),
            version=("metadata.time",),
            event_time=("metadata.time",),
        ),
    ),
    # Supabase's database webhook: whatever the row holds, without id, time or repetition of the event, so that the time
    # of receipt is an honest one. A new row of the profiles table that Supabase proposes has no updated_at yet, and
    # without a trigger it never moves. A soft delete of auth.users is several updates: one sets deleted_at, one writes
    # a hash of 43 characters where the e-mail was. banned_until ends without an event.
    "supabase-db": Platform(
        scheme=Token(),
        preset=Preset(
            event=(
                "join('.', [schema, table, record.deleted_at && 'SOFT_DELETE'"
                " || record && old_record.deleted_at && 'RESTORE' || type])"
            ),
            created=("auth.users.INSERT", "public.profiles.INSERT"),
            updated=("auth.users.UPDATE", "public.profiles.UPDATE"),
            restored=("auth.users.RESTORE", "public.profiles.RESTORE"),
            deleted=(
                "auth.users.DELETE",
                "auth.users.SOFT_DELETE",
                "public.profiles.DELETE",
                "public.profiles.SOFT_DELETE",
            ),
            user_id="record.id",
            deleted_user_id="record.id || old_record.id",
            email="!(length(record.email || '') == `43` && !contains(record.email, '@')) && record.email || ''",
            name=(
                "record.raw_user_meta_data.full_name",
                "record.raw_user_meta_data.name",
                "record.raw_user_meta_data.[given_name, family_name]",
                "record.full_name",
                "record.name",
                "record.[first_name, last_name]",
                "record.username",
            ),
            picture=(
                "record.raw_user_meta_data.avatar_url",
                "record.raw_user_meta_data.picture",
                "record.avatar_url",
            ),
            version=(
                "record.updated_at != old_record.updated_at && record.updated_at || ''",
                "type == 'INSERT' && record.created_at || ''",
                "delivery.received_at",
            ),
            event_time=("delivery.received_at",),
            blocked="record.banned_until",
        ),
    ),
    # Auth0's event streams: documents differ on the prefix of the type; test events are about no real user. A social
    # sign-up after a deletion has the same id again, with a created_at later than the deletion.
    "auth0": Platform(
        scheme=Token(),
        preset=Preset(
            event="a0purpose == 'test' && 'test' || type",
            created=("user.created", "com.auth0.user.created"),
            updated=("user.updated", "com.auth0.user.updated"),
            deleted=("user.deleted", "com.auth0.user.deleted"),
            event_id="id",
            user_id="data.object.user_id",
            email="data.object.email",
            name=("data.object.[given_name, family_name]", "data.object.name"),
            picture=("data.object.picture",),
            version=("data.object.updated_at", "time"),
            event_time=("time",),
            blocked="data.object.blocked",
            default_pictures=(_GRAVATAR, r"https?://cdn\.auth0\.com/avatars/"),
        ),
    ),
    # Stytch: two fields name the event. `member` is the user of its business product. A deletion has the id at the top
    # and no user. `is_locked` is temporary.
    "stytch": Platform(
        scheme=Standard(),
        preset=Preset(
            event="join('.', [object_type, action])",
            created=("user.CREATE", "member.CREATE"),
            updated=("user.UPDATE", "member.UPDATE"),
            deleted=("user.DELETE", "member.DELETE"),
            event_id="event_id",
            user_id="user.user_id || member.member_id || id",
            email="(user.emails[?verified] | [0].email) || user.emails[0].email || member.email_address",
            name=("user.name.[first_name, last_name]", "member.name"),
            picture=("user.providers[?profile_picture_url] | [0].profile_picture_url",),
            version=("timestamp",),
            event_time=("timestamp",),
        ),
    ),
    # FusionAuth: user.create and user.update come before the change is kept. A field without value is left out; that
    # it was taken away shows only beside what the user was before. Bulk deletions and those of users who never verified
    # their address send user.delete and no user.delete.complete. lastUpdateInstant stands still on a deactivation.
    "fusionauth": Platform(
        scheme=Token(),
        preset=Preset(
            event="event.type",
            created=("user.create.complete",),
            updated=("user.update.complete",),
            suspended=("user.deactivate",),
            restored=("user.reactivate",),
            deleted=("user.delete.complete", "user.delete"),
            event_id="event.id",
            user_id="event.user.id",
            email="event.user.email",
            name=(
                "event.user.[firstName, lastName]",
                "event.user.fullName",
                "(event.original.firstName || event.original.lastName || event.original.fullName) && ''",
            ),
            picture=("event.user.imageUrl", "event.original.imageUrl && ''"),
            version=("event.user.lastUpdateInstant", "event.createInstant"),
            event_time=("event.createInstant",),
            active="event.user.active",
        ),
    ),
    # Logto: one event stands for both ways of a suspension. A deletion shows the row as it was before.
    "logto": Platform(
        scheme=Hmac(header="logto-signature-sha-256", secret_form=_FOREIGN, secret_rule=_FOREIGN_RULE),
        preset=Preset(
            event=(
                "event == 'User.SuspensionStatus.Updated'"
                " && (data.isSuspended && 'suspended' || data.isSuspended == `false` && 'restored') || event"
            ),
            created=("User.Created", "PostRegister"),
            updated=("User.Data.Updated",),
            suspended=("suspended",),
            restored=("restored",),
            deleted=("User.Deleted",),
            user_id="params.userId || data.id || user.id || userId",
            email=f"{_LOGTO_USER}.primaryEmail",
            name=(f"{_LOGTO_USER}.name", f"{_LOGTO_USER}.profile.[givenName, familyName]"),
            picture=(f"{_LOGTO_USER}.avatar",),
            version=(f"{_LOGTO_USER}.updatedAt", "createdAt"),
            event_time=("createdAt",),
            blocked=f"{_LOGTO_USER}.isSuspended",
        ),
    ),
    # Keycloak with the events extension of Phase Two: in an administrator's event the authenticated user is the
    # administrator; the user is JSON in a text, if at all. admin.USER-CREATE and admin.USER-DELETE also stand for a
    # social login that was linked or unlinked: only the resource's path is a longer one.
    "keycloak": Platform(
        scheme=Hmac(header="x-keycloak-signature", secret_form=_FOREIGN, secret_rule=_FOREIGN_RULE),
        preset=Preset(
            event=(
                "starts_with(type || '', 'admin.USER-')"
                " && (resourceId || details.userId || contains(resourcePath || '', '/federated-identity/'))"
                " && resourcePath != join('', ['users/', resourceId || '-'])"
                " && resourcePath != join('', ['users/', details.userId || '-'])"
                " && 'not of a user itself' || type"
            ),
            created=("admin.USER-CREATE", "access.REGISTER"),
            updated=("admin.USER-UPDATE", "access.UPDATE_PROFILE", "access.UPDATE_EMAIL"),
            suspended=("access.USER_DISABLED_BY_PERMANENT_LOCKOUT",),
            deleted=("admin.USER-DELETE", "access.DELETE_ACCOUNT"),
            event_id="uid",
            user_id="starts_with(type, 'access.') && authDetails.userId || resourceId || details.userId",
            email="from_json(representation).email || details.updated_email || details.email",
            name=(
                "from_json(representation).[firstName, lastName]",
                "details.[updated_first_name || first_name, updated_last_name || last_name]",
            ),
            picture=("from_json(representation).attributes.picture[0]",),
            version=("time",),
            event_time=("time",),
            active="from_json(representation).enabled",
        ),
    ),
    # PropelAuth: one picture for everybody without one; an update may carry the id and nothing else. user.locked is
    # temporary.
    "propelauth": Platform(
        scheme=Standard(),
        preset=Preset(
            event="event_type",
            created=("user.created",),
            updated=("user.updated",),
            suspended=("user.disabled",),
            restored=("user.enabled",),
            deleted=("user.deleted",),
            user_id="user_id",
            email="email",
            name=("[first_name, last_name]", "username"),
            picture=("picture_url",),
            version=("delivery.signed_at", "delivery.received_at"),
            default_pictures=(r"https?://img\.propelauth\.com/2a27d237-",),
        ),
    ),
    "frontegg": Platform(
        scheme=Jwt(header="x-webhook-secret"),
        preset=Preset(
            event="eventKey",
            created=("frontegg.user.created", "frontegg.user.signedUp"),
            updated=("frontegg.user.updated",),
            deleted=("frontegg.user.deleted", "frontegg.scim.user.deleted"),
            user_id="user.id || eventContext.userId",
            email="user.email",
            name=("user.name",),
            picture=("user.profilePictureUrl",),
            version=("delivery.signed_at", "delivery.received_at"),
            default_pictures=(_GRAVATAR,),
        ),
    ),
    # Shopify names the event in a header only, which nothing signs. Another signed body of the same shop is at least no
    # customer: its admin_graphql_api_id says so, or what orders, checkouts and carts have and customers do not. A
    # deletion and a redaction are known by the shape of their bodies: an update that is sent again under another
    # header deletes no user. `state: disabled` is every customer without a store account, and customers/disable has the
    # very shape of an update, so neither counts as a suspension. No id is given twice, so a deletion needs no time.
    "shopify": Platform(
        scheme=Hmac(
            header="x-shopify-hmac-sha256",
            encoding="base64",
            secret_form=_FOREIGN,
            secret_rule=_FOREIGN_RULE,
        ),
        preset=Preset(
            event=(
                "contains(keys(@), 'orders_to_redact') && 'redact'"
                " || contains(admin_graphql_api_id || '', '/Customer/') && !contains(keys(@), 'updated_at') && 'delete'"
                " || (admin_graphql_api_id && !contains(admin_graphql_api_id, '/Customer/')"
                " || contains(keys(@), 'line_items') || contains(keys(@), 'token')) && 'not of a customer'"
                ' || delivery.headers."x-shopify-topic"'
            ),
            created=("customers/create",),
            updated=("customers/update",),
            deleted=("delete", "redact"),
            event_id='delivery.headers."x-shopify-event-id"',
            user_id="id",
            deleted_user_id="id || customer.id",
            email="email",
            name=("[first_name, last_name]",),
            picture=(),
            version=("updated_at",),
            life_cycle_version=("delivery.received_at",),
        ),
    ),
    # Stripe's secret looks like Standard Webhooks' and is not base64: the whole text is the key. Its times are whole
    # seconds, so the time of delivery orders the changes of one second.
    "stripe": Platform(
        scheme=Hmac(
            header="stripe-signature",
            content="timestamp.body",
            secret_form=_STRIPE,
            secret_rule="Stripe's start with whsec_, those with sk_ or rk_ are API keys",  # noqa: S106 - for people
        ),
        preset=Preset(
            event="type",
            created=("customer.created",),
            updated=("customer.updated",),
            deleted=("customer.deleted",),
            event_id="id",
            user_id="data.object.id",
            email="data.object.email",
            name=("data.object.name",),
            picture=(),
            version=("created",),
            event_time=("delivery.signed_at",),
            life_cycle_version=("created",),
        ),
    ),
    # WooCommerce names the event in a header only, which nothing signs, and a deletion is an id and nothing else: so is
    # that of an order. No deletion is read from a body of another shape. Its times are GMT without a zone, in whole
    # seconds. Guests are no customers. It sends a form without a signature when a webhook is made, and switches off one
    # that does not answer it with 200 (source: woocommerce class-wc-webhook.php).
    "woocommerce": Platform(
        scheme=Hmac(header="x-wc-webhook-signature", encoding="base64"),
        preset=Preset(
            event=(
                "delivery.headers.\"x-wc-webhook-topic\" == 'customer.deleted' && length(keys(@)) != `2`"
                " && 'not a deletion' || delivery.headers.\"x-wc-webhook-topic\""
            ),
            created=("customer.created",),
            updated=("customer.updated",),
            deleted=("customer.deleted",),
            event_id='delivery.headers."x-wc-webhook-delivery-id"',
            user_id="id",
            email="email",
            name=("[first_name, last_name]",),
            picture=("avatar_url",),
            version=("date_modified_gmt", "date_created_gmt"),
            life_cycle_version=("delivery.received_at",),
            default_pictures=(_GRAVATAR,),
        ),
        ping=r"webhook_id=[0-9]+",
    ),
    # Zitadel's Actions v2 send one change an event, in base64. `userID` made the change, `aggregateID` is the user
    # (https://zitadel.com/docs/guides/integrate/actions/testing-event). `user.locked` is temporary.
    "zitadel": Platform(
        scheme=Hmac(header="zitadel-signature", content="timestamp.body"),
        preset=Preset(
            event="event_type",
            created=("user.human.added", "user.human.selfregistered"),
            updated=("user.human.profile.changed", "user.human.email.changed"),
            suspended=("user.deactivated",),
            restored=("user.reactivated",),
            deleted=("user.removed",),
            user_id="aggregateID",
            email="from_base64_json(event_payload).email",
            name=("from_base64_json(event_payload).displayName",),
            picture=(),
            version=("created_at",),
            event_time=("created_at",),
        ),
    ),
    # Ghost names the event nowhere; what the member is now and was before says it. The time of the delivery is signed
    # (https://github.com/TryGhost/Ghost, webhook-trigger.js, since July 2024).
    "ghost": Platform(
        scheme=Hmac(header="x-ghost-signature", prefix="sha256=", content="{body}{timestamp}", unit="ms"),
        preset=Preset(
            event=(
                "!(member) && 'not of a member'"
                " || !(member.current) && 'deleted' || !(member.previous) && 'added' || 'edited'"
            ),
            created=("added",),
            updated=("edited",),
            deleted=("deleted",),
            user_id="member.current.id",
            deleted_user_id="member.previous.id",
            email="member.current.email",
            name=("member.current.name",),
            picture=("member.current.avatar_image",),
            version=("member.current.updated_at", "member.current.created_at"),
            life_cycle_version=("delivery.signed_at", "delivery.received_at"),
            default_pictures=(_GRAVATAR,),
        ),
    ),
    # Hasura's event triggers, and Nhost, whose users are the table auth.users: whatever columns the row has. An event
    # keeps its id and time when it is sent again (https://hasura.io/docs, event triggers, payload).
    "hasura": Platform(scheme=Token(), preset=_HASURA),
    "nhost": Platform(
        scheme=Token(),
        preset=replace(
            _HASURA,
            blocked="event.data.new.disabled",
            default_pictures=(r"https?://([^/]+\.)?gravatar\.com/.*[?&]d(efault)?=",),
        ),
    ),
    # Authgear (https://docs.authgear.com, events and hooks): the whole user in every event, retries keep the time. A
    # deletion that is scheduled disables first.
    "authgear": Platform(
        scheme=Hmac(header="x-authgear-body-signature"),
        preset=Preset(
            event="type",
            created=("user.created",),
            updated=(
                "user.profile.updated",
                "user.anonymous.promoted",
                "identity.email.added",
                "identity.email.updated",
            ),
            suspended=("user.disabled", "user.deletion_scheduled"),
            restored=("user.reenabled", "user.deletion_unscheduled"),
            deleted=("user.deleted",),
            event_id="id",
            user_id="payload.user.id",
            email="payload.user.standard_attributes.email",
            name=(
                "payload.user.standard_attributes.name",
                "payload.user.standard_attributes.[given_name, family_name]",
            ),
            picture=("payload.user.standard_attributes.picture",),
            version=("payload.user.updated_at", "context.timestamp"),
            event_time=("context.timestamp",),
            blocked="payload.user.is_disabled",
        ),
    ),
    # Appwrite names its events in a header, a list of all that match (https://appwrite.io/docs, webhooks). Its own
    # signature covers no time and is SHA-1; the user name and password of a webhook are the token here.
    "appwrite": Platform(
        scheme=Token(),
        preset=Preset(
            event=(
                "!(\"$id\" && registration) && 'not of a user'"
                f" || {_APPWRITE.format('delete')} && 'delete' || {_APPWRITE.format('create')} && 'create'"
                f" || {_APPWRITE.format('update')} && 'update'"
                " || delivery.headers.\"x-appwrite-webhook-events\" != `null` && 'of a part of a user'"
            ),
            created=("create",),
            updated=("update",),
            deleted=("delete",),
            user_id='"$id"',
            email="email",
            name=("name",),
            picture=(),
            version=('"$updatedAt"',),
            life_cycle_version=("delivery.received_at",),
            active="status",
        ),
    ),
    # Memberstack (https://developers.memberstack.com, webhooks; npm @memberstack/admin): the names are fields of the
    # member, which a site may call otherwise.
    "memberstack": Platform(
        scheme=Standard(),
        preset=Preset(
            event="event",
            created=("member.created",),
            updated=("member.updated",),
            deleted=("member.deleted",),
            user_id="payload.id",
            email="payload.auth.email",
            name=('payload.customFields.["first-name", "last-name"]',),
            picture=("payload.profileImage",),
            version=("timestamp",),
            event_time=("timestamp",),
        ),
    ),
    # Userfront (https://userfront.com/docs/webhooks): the record is the user of its API, shown without updatedAt. A
    # deletion shows the user as last updated. A new user has a drawn picture (observed).
    "userfront": Platform(
        scheme=Token(),
        preset=Preset(
            event="join('.', [model, action])",
            created=("user.create",),
            updated=("user.update",),
            deleted=("user.delete",),
            user_id="record.userId",
            email="record.email",
            name=("record.name",),
            picture=("record.image",),
            version=("record.updatedAt", "action == 'create' && record.createdAt || ''", "delivery.received_at"),
            event_time=("delivery.received_at",),
            default_pictures=(r"https?://res\.cloudinary\.com/component/image/upload/avatars/avatar-",),
        ),
    ),
    # Ory's actions send what your Jsonnet makes; before an identity is stored its times are those of the year 1.
    "ory": Platform(
        scheme=Token(),
        preset=replace(STANDARD, version=("data.updated_at", "timestamp", "delivery.received_at")),
    ),
    # A platform of one's own: say with the overrides what is different.
    "own": Platform(scheme=Hmac(header="x-signature"), preset=replace(STANDARD, event_id="id")),
}


def configured(settings: Mapping[str, str]) -> Platform:
    """The platform that the settings describe: a row of the table, with what is set on top of it.

    `settings` are environment variables as template.yaml names them; an empty one counts as not set.
    Raises ValueError with a sentence that names the setting and what it must be.
    """
    name = settings.get("PAYLOAD_PRESET", "")
    if name not in PLATFORMS:
        raise ValueError(f"PAYLOAD_PRESET must be one of {', '.join(PLATFORMS)}, not {name or 'empty'}")
    row = PLATFORMS[name]
    scheme = configured_scheme(row.scheme, settings)
    preset = _preset(row.preset, settings.get("PAYLOAD_OVERRIDES", ""))
    try:
        check_times(preset, replayable=scheme.is_replayable)
    except ValueError as error:
        raise ValueError(f"PAYLOAD_OVERRIDES: {error}") from None
    return replace(row, scheme=scheme, preset=preset, enroll_if=checked_enroll_if(settings.get("ENROLL_IF", "")))


def _preset(preset: Preset, overrides: str) -> Preset:
    size = len(overrides.encode("utf-8", "replace"))
    if size > MAX_OVERRIDES_BYTES:
        raise ValueError(
            f"PAYLOAD_OVERRIDES has {size} bytes; Lambda's environment holds 4 KB in all, which leaves"
            f" {MAX_OVERRIDES_BYTES} for it: say only what differs from the preset"
        )
    try:
        given = json.loads(overrides, object_pairs_hook=distinct_keys) if overrides.strip() else {}
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"PAYLOAD_OVERRIDES is not JSON: {error}") from None
    except ValueError as error:
        raise ValueError(f"PAYLOAD_OVERRIDES: {error}") from None
    if not isinstance(given, dict):
        raise ValueError(  # noqa: TRY004 - a wrong setting, like the others
            'PAYLOAD_OVERRIDES must be a JSON object like {"user_id": "member.id"}'
        )
    changes: dict[str, Any] = {field: _override(preset, field, value) for field, value in given.items()}
    try:
        preset = replace(preset, **changes)
        check(preset)
    except ValueError as error:
        raise ValueError(f"PAYLOAD_OVERRIDES: {error}") from None
    return preset


def _override(preset: Preset, field: str, value: object) -> str | tuple[str, ...]:
    fields = [each.name for each in dataclasses.fields(Preset)]
    if field not in fields:
        raise ValueError(f"PAYLOAD_OVERRIDES: there is no {field}, only {', '.join(fields)}")
    if isinstance(getattr(preset, field), str):
        if isinstance(value, str):
            return value
        raise ValueError(f"PAYLOAD_OVERRIDES: {field} must be a text")
    values = [value] if isinstance(value, str) else value
    if isinstance(values, list) and all(isinstance(each, str) for each in values):
        return tuple(values)
    raise ValueError(f"PAYLOAD_OVERRIDES: {field} must be a text or a list of texts")
