"""Files: a record with an upload URL on another host, the upload itself, and the polling until it is ready."""

import hashlib
import hmac
import mimetypes
import secrets
from dataclasses import replace
from pathlib import PurePath
from urllib.parse import parse_qs, quote

from fake_whop.paging import PAGE_QUERY, page
from fake_whop.protocol import (
    Answer,
    Body,
    Json,
    Request,
    answer,
    boolean,
    check_fields,
    check_query,
    integer,
    invalid,
    listing,
    missing,
    not_found,
    one_of,
    or_null,
    text,
    timestamp,
)
from fake_whop.state import Ask, File, State, new_id

# Documented: a presigned URL lives one hour, that of a part of a multipart upload a quarter of one.
UPLOAD_SECONDS = 3600
PART_SECONDS = 900

# Documented, but for what a MB is.
PART_BYTES = 5 * 1024 * 1024
MOST_PARTS = 10_000
LIST_MOST, LIST_PAGE = 250, 100

_LEGACY_FIELDS = {"filename": text, "visibility": or_null(one_of("public", "private"))}
_NO_DESTINATION: Body = {"upload_url": None, "upload_headers": None}
_NATIVE_FIELDS = _LEGACY_FIELDS | {"multipart": or_null(boolean), "byte_size": or_null(integer)}


def create(ask: Ask) -> Answer:
    """POST /files. The content type is derived from the filename, since none is sent."""
    if not ask.native and ask.switches.legacy_files == "refused":
        raise not_found("Route")
    check_query(ask.query, set())
    check_fields(ask.body, _NATIVE_FIELDS if ask.native else _LEGACY_FIELDS)
    filename = str(ask.body.get("filename", "")).strip()
    if not filename:
        raise missing("filename")
    if ask.switches.filename_needs_extension and not PurePath(filename).suffix:
        raise invalid("filename", "needs an extension")
    part_count = _part_count(ask) if ask.body.get("multipart") else 0
    file = File(
        new_id("file"),
        filename,
        mimetypes.guess_type(filename)[0] or "application/octet-stream",
        str(ask.body.get("visibility") or "private"),
        ask.credential.key,
        ask.now,
        secrets.token_urlsafe(12),
        "ready" if ask.switches.files_ready_at_once else "pending",
        part_count=part_count,
    )
    ask.state.files[file.id] = file
    return answer(_object(ask, file) | _destination(ask, file), 201 if ask.native else 200)


def _part_count(ask: Ask) -> int:
    """Documented: more than 5 MB, in parts of 5 MB each, at most 10,000 of them."""
    size = ask.body.get("byte_size")
    if not isinstance(size, int):
        raise missing("byte_size")
    if not PART_BYTES < size <= PART_BYTES * MOST_PARTS:
        raise invalid("byte_size", "a multipart upload has more than 5 MB and at most 10,000 parts")
    return -(-size // PART_BYTES)


def _destination(ask: Ask, file: File) -> Body:
    """Where to upload a new file to. Documented: for a multipart upload the headers are empty."""
    if file.status != "pending":
        return {"upload_url": None, "upload_headers": None}
    address = f"{ask.uploads}/uploads/{file.id}"
    if not file.part_count:
        signed = f"expires={_expiry(file)}&signature={file.signature}"
        return {"upload_url": f"{address}?{signed}", "upload_headers": {"Content-Type": file.content_type}}
    urls: list[Json] = [
        {
            "part_number": number,
            "url": f"{address}?part={number}&expires={_expiry(file)}&signature={file.signature}",
        }
        for number in range(1, file.part_count + 1)
    ]
    return {
        "upload_url": None,
        "upload_headers": {},
        "multipart_chunk_size": PART_BYTES,
        "multipart_upload_id": file.signature,
        "multipart_upload_urls": urls,
    }


def _expiry(file: File) -> int:
    return int(file.created_at + (PART_SECONDS if file.part_count else UPLOAD_SECONDS))


def complete(ask: Ask) -> Answer:
    """POST /files/{id}/complete. Documented: with the id of the upload, and the ETag that each part was answered with.
    That only the parts that were announced will do is assumed."""
    check_query(ask.query, set())
    check_fields(ask.body, {"multipart_parts": listing, "multipart_upload_id": text})
    file = _own(ask)
    for name in ("multipart_parts", "multipart_upload_id"):
        if not ask.body.get(name):
            raise missing(name)
    if not file.part_count or file.status != "pending" or ask.body["multipart_upload_id"] != file.signature:
        raise invalid("multipart_upload_id", "no multipart upload of this file is open under it")
    uploaded = [(number, etag(file.parts[number])) for number in sorted(file.parts)]
    if _parts(ask.body["multipart_parts"]) != uploaded or len(uploaded) != file.part_count:
        raise invalid("multipart_parts", "every part that was uploaded, in order, with its ETag")
    content = b"".join(file.parts[number] for number in sorted(file.parts))
    stored = _stored(
        replace(file, content=content, parts={}), ask.switches.processing_polls, ask.switches.failing_filename
    )
    ask.state.files[file.id] = stored
    return answer(_object(ask, stored) | _NO_DESTINATION)


def _parts(named: Json) -> list[tuple[Json, str]]:
    """Numbers and ETags of the parts that a body names; S3 takes an ETag with its quotes or without."""
    parts = [part if isinstance(part, dict) else {} for part in named] if isinstance(named, list) else []
    return [(part.get("part_number"), f'"{str(part.get("etag")).strip('"')}"') for part in parts]


def list_all(ask: Ask) -> Answer:
    """GET /files: those of these ids that the credential made, newest first, 100 a page."""
    check_query(ask.query, PAGE_QUERY | {"order", "direction"})
    ids = ask.lists.get("file_ids", ())
    if not ids:
        raise missing("file_ids")
    if len(ids) > LIST_MOST:
        raise invalid("file_ids", f"at most {LIST_MOST}")
    for name, allowed in (("order", ("created_at",)), ("direction", ("asc", "desc"))):
        if not one_of(*allowed)(ask.query.get(name, allowed[-1])):
            raise invalid(name, " or ".join(allowed))
    found = [file for file in ask.state.files.values() if file.id in ids and _is_readable(ask, file)]
    if ask.query.get("direction") != "asc":
        found.reverse()
    shown = _NO_DESTINATION if ask.native else {}
    return page(ask.query, found, lambda file: _object(ask, file) | shown, default=LIST_PAGE, limit=LIST_PAGE)


def retrieve(ask: Ask) -> Answer:
    """GET /files/{id}. Documented for the native form: a key that did not create the file gets a 404."""
    check_query(ask.query, set())
    file = _own(ask)
    if file.status == "processing":
        file = ask.state.files[file.id] = replace(file, reads=file.reads + 1)
        if file.reads > ask.switches.processing_polls:
            file = ask.state.files[file.id] = _processed(file, ask.switches.failing_filename)
    return answer(_object(ask, file) | (_NO_DESTINATION if ask.native else {}))


def _own(ask: Ask) -> File:
    """The file that the path names."""
    file = ask.state.files.get(ask.id)
    if file is None or not _is_readable(ask, file):
        raise not_found("File")
    return file


def _is_readable(ask: Ask, file: File) -> bool:
    if file.creator != ask.credential.key and (ask.native or ask.switches.legacy_files_creator_only):
        return False
    return not file.attached or ask.switches.attached_file_is_readable


def upload(state: State, request: Request, file_id: str, now: float, *, polls: int, failing: str) -> Answer:
    """PUT to a presigned URL, as the storage answers it: no credential, exactly the headers that were handed out."""
    file = state.files.get(file_id)
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    allowed = (
        file is not None
        and hmac.compare_digest(query.get("signature", "").encode(), file.signature.encode())
        and query.get("expires") == str(_expiry(file))
        and now < _expiry(file)
        and "authorization" not in request.headers
        and (file.part_count > 0 or request.headers.get("content-type") == file.content_type)
        and query.get("part", "0") in map(str, range(1, file.part_count + 1) if file.part_count else (0,))
    )
    if file is None or not allowed:
        return Answer(403, b"<Error><Code>AccessDenied</Code></Error>", content_type="application/xml")
    if file.part_count:
        if file.status == "pending":
            state.files[file.id] = replace(file, parts={**file.parts, int(query["part"]): request.body})
    elif file.status in ("pending", "processing"):
        state.files[file.id] = _stored(replace(file, content=request.body), polls, failing)
    return Answer(200, b"", {"ETag": etag(request.body)}, content_type="application/xml")


def etag(content: bytes) -> str:
    """As S3 answers it, in quotes."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _stored(file: File, polls: int, failing: str) -> File:
    stored = replace(file, status="processing")
    return stored if polls else _processed(stored, failing)


def attachable(ask: Ask, reference: object, param: str) -> str:
    """The id in a file reference, if that file may be attached.

    Documented in two ways: attach right away, or once ready; the switch decides which one holds.
    """
    file_id = reference.get("id") if isinstance(reference, dict) else None
    if file_id is None:
        raise invalid(param, "needs the id of a file")
    file = ask.state.files.get(str(file_id))
    if file is None or file.creator != ask.credential.key:
        raise invalid(param, "no such file")
    if file.status == "failed" or (file.status != "ready" and not ask.switches.attach_unready_file):
        raise invalid(param, f"the file is {file.status}, not ready")
    trigger = ask.switches.moderated_filename
    moderated = bool(trigger) and trigger in file.filename
    ask.state.files[file.id] = replace(file, attached=True, moderated=moderated)
    return file.id


def picture_url(uploads: str, file: File) -> str:
    return f"{uploads}/cdn/{file.id}/{quote(file.filename, safe='')}"


def _processed(file: File, failing: str) -> File:
    return replace(file, status="failed" if failing and failing in file.filename else "ready")


def _object(ask: Ask, file: File) -> Body:
    """Documented: legacy has the size as text; native has it as a number, with null size and url until ready."""
    ready = file.status == "ready"
    common: Body = {
        "id": file.id,
        "filename": file.filename,
        "content_type": file.content_type,
        "upload_status": file.status,
        "url": picture_url(ask.uploads, file) if ready else None,
        "visibility": file.visibility,
    }
    if not ask.native:
        return common | {"size": str(len(file.content)) if ready else None}
    return common | {
        "object": "file",
        "size": len(file.content) if ready else None,
        "created_at": timestamp(file.created_at),
        "multipart_chunk_size": None,
        "multipart_upload_id": None,
        "multipart_upload_urls": None,
        "blurhash": None,
        "width": None,
        "height": None,
        "duration_seconds": None,
        "waveform_url": None,
        "removed_by_moderation": file.moderated,
    }
