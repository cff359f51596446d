"""E-mail messages (RFC 5322) by the standard library: headers and the body, its text form preferred over its HTML."""

from __future__ import annotations

import codecs
import email
import email.policy
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage, Message
from pathlib import Path, PurePosixPath
from typing import Any

from rag_pgvector.errors import LoadError
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile, has_loader, loader_for
from rag_pgvector.ingest.loaders.encoding import read_text
from rag_pgvector.ingest.loaders.html import add_html
from rag_pgvector.ingest.loaders.parts import TextBuilder, clean

__all__ = ["EmailLoader"]

_MAX_BYTES = 256 << 20
_HEADERS = ("From", "To", "Cc", "Date", "Subject")


class EmailLoader:
    """Subject as title, the other headers as one block, then the body.

    An attachment with a suffix that has a loader is a document of its own, ``mail.eml/report.pdf``; the metadata names
    all of them.
    """

    name = "eml"
    version = 1

    def load(self, file: SourceFile) -> Iterator[LoadedDocument | LoadError]:
        """The message, then its attachments. Raises LoadError for what is no message."""
        message = _parse(file)
        builder = TextBuilder()
        headers = {name: clean(" ".join(str(message.get(name, "")).split())) for name in _HEADERS}
        if headers["Subject"]:
            builder.heading(headers["Subject"])
        builder.literal("\n".join(f"{name}: {value}" for name, value in headers.items() if value))
        rejected = list(_body(message, builder, file))
        attachments = list(_attachments(message))
        yield builder.loaded(
            file,
            self.name,
            metadata={
                "title": headers["Subject"],
                "author": headers["From"],
                "date": headers["Date"],
                "attachments": [name for name, _ in attachments],
            },
            rejected=rejected,
        )
        for number, (name, data) in enumerate(attachments):
            if data is not None and has_loader(name):
                yield from _open_attachment(file, name, number, data)


def _parse(file: SourceFile) -> Message:
    try:
        if file.path.stat().st_size > _MAX_BYTES:
            raise LoadError(file.source, f"more than {_MAX_BYTES:,} bytes")
        data = file.path.read_bytes()
    except OSError as error:
        raise LoadError(file.source, error.strerror or str(error)) from error
    if not data.strip():
        raise LoadError(file.source, "the file is empty")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:64]:
        data = read_text(file.path, file.source)[0].encode()
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not any(name in message for name in (*_HEADERS, "Received", "Message-ID", "Content-Type", "MIME-Version")):
        raise LoadError(file.source, "it has no headers of an e-mail message")
    return message


def _body(message: Message, builder: TextBuilder, file: SourceFile) -> Iterator[LoadError]:
    if not isinstance(message, EmailMessage):
        return
    part: Any = message.get_body(preferencelist=("plain", "html"))
    if part is not None:
        kind = part.get_content_type()
        try:
            text = _content(part)
            if kind == "text/html":
                add_html(builder, text, file.source)
            else:
                for paragraph in clean(text).split("\n\n"):
                    builder.paragraph(paragraph)
        except LoadError as error:
            yield error


def _attachments(message: Message) -> Iterator[tuple[str, bytes | None]]:
    """Names and contents (None for what cannot be decoded)."""
    if not isinstance(message, EmailMessage):
        return
    try:
        parts = list(message.iter_attachments())
    except (AttributeError, KeyError, ValueError):  # a multipart message without parts
        return
    for part in parts:
        inner: Any = part.get_payload()
        if part.get_content_type() == "message/rfc822" and isinstance(inner, list) and inner:
            yield clean(part.get_filename() or "message.eml"), inner[0].as_bytes()
            continue
        payload = part.get_payload(decode=True)
        name = clean(part.get_filename() or part.get_content_type())
        yield name, payload if isinstance(payload, bytes) else None


def _open_attachment(file: SourceFile, name: str, number: int, data: bytes) -> Iterator[LoadedDocument | LoadError]:
    with tempfile.TemporaryDirectory(prefix="rag_pgvector_eml_") as folder:
        path = Path(folder, f"attachment{PurePosixPath(name).suffix.lower()[:16]}")
        path.write_bytes(data)
        inside = replace(
            file, path=path, source=f"{file.source}/{name}", document_id=f"{file.document_id}/{number}/{name}"
        )
        try:
            yield from loader_for(path).load(inside)
        except LoadError as error:
            yield error


def _content(part: EmailMessage) -> str:
    """The text of a part, also where it names an encoding that is none."""
    try:
        return str(part.get_content())
    except (LookupError, UnicodeError, KeyError):
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)
