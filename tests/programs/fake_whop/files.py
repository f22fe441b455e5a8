"""Files: a record with an upload URL on another host, the upload itself, and the polling until it is ready."""

import hmac
import mimetypes
import secrets
from dataclasses import replace
from pathlib import PurePath
from urllib.parse import parse_qs, quote

from fake_whop.protocol import (
    Answer,
    Body,
    Request,
    answer,
    boolean,
    check_fields,
    check_query,
    integer,
    invalid,
    missing,
    not_found,
    one_of,
    or_null,
    text,
    timestamp,
)
from fake_whop.state import Ask, File, State, new_id

# Documented: a presigned URL lives one hour.
UPLOAD_SECONDS = 3600

_LEGACY_FIELDS = {"filename": text, "visibility": or_null(one_of("public", "private"))}
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
    if ask.body.get("multipart"):
        raise invalid("multipart", "this fake takes single uploads only")
    file = File(
        new_id("file"),
        filename,
        mimetypes.guess_type(filename)[0] or "application/octet-stream",
        str(ask.body.get("visibility") or "private"),
        ask.credential.key,
        ask.now,
        secrets.token_urlsafe(12),
        "ready" if ask.switches.files_ready_at_once else "pending",
    )
    ask.state.files[file.id] = file
    upload: Body = {"upload_url": None, "upload_headers": None}
    if file.status == "pending":
        expires = int(file.created_at + UPLOAD_SECONDS)
        url = f"{ask.uploads}/uploads/{file.id}?expires={expires}&signature={file.signature}"
        upload = {"upload_url": url, "upload_headers": {"Content-Type": file.content_type}}
    return answer(_object(ask, file) | upload, 201 if ask.native else 200)


def retrieve(ask: Ask) -> Answer:
    """GET /files/{id}. Documented for the native form: a key that did not create the file gets a 404."""
    check_query(ask.query, set())
    file = ask.state.files.get(ask.id)
    if file is None or (file.creator != ask.credential.key and (ask.native or ask.switches.legacy_files_creator_only)):
        raise not_found("File")
    if file.attached and not ask.switches.attached_file_is_readable:
        raise not_found("File")
    if file.status == "processing":
        file = ask.state.files[file.id] = replace(file, reads=file.reads + 1)
        if file.reads > ask.switches.processing_polls:
            file = ask.state.files[file.id] = _processed(file, ask.switches.failing_filename)
    upload: Body = {"upload_url": None, "upload_headers": None} if ask.native else {}
    return answer(_object(ask, file) | upload)


def upload(state: State, request: Request, file_id: str, now: float, *, polls: int, failing: str) -> Answer:
    """PUT to the presigned URL, as the storage answers it: no credential, exactly the headers that were handed out."""
    file = state.files.get(file_id)
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    allowed = (
        file is not None
        and hmac.compare_digest(query.get("signature", "").encode(), file.signature.encode())
        and query.get("expires") == str(int(file.created_at + UPLOAD_SECONDS))
        and now < file.created_at + UPLOAD_SECONDS
        and "authorization" not in request.headers
        and request.headers.get("content-type") == file.content_type
    )
    if file is None or not allowed:
        return Answer(403, b"<Error><Code>AccessDenied</Code></Error>", content_type="application/xml")
    if file.status in ("pending", "processing"):
        stored = replace(file, content=request.body, status="processing")
        state.files[file.id] = stored if polls else _processed(stored, failing)
    return Answer(200, b"", content_type="application/xml")


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
