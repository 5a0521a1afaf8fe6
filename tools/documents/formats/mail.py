"""Emails (EML): the subject as heading, then the main headers, then the text. Attachments are listed in a note."""

import re
from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any, BinaryIO

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.cleaning import clean_line
from tools.documents.decoding import decode
from tools.documents.display_names import clean_name
from tools.documents.formats import ReadOptions
from tools.documents.formats.plain_text import add_text

MAX_HEADER = 64 * 1024
MAX_HEADER_SHOWN = 500
LONG_HEADER = re.compile(rb"^[!-9;-~]+:(?:[^\n]|\n[ \t]){65536}", re.MULTILINE)
MAX_LISTED_ATTACHMENTS = 20


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, empty, too_large."""
    data = file.read()
    if LONG_HEADER.search(data[: 4 * MAX_HEADER]):  # the parser takes hours on these
        raise Unreadable("damaged", "The mail has a header that is too long; save it again and upload that.")
    collector = BlockCollector(options.max_characters)
    try:
        mail = BytesParser(EmailMessage, policy=policy.default).parsebytes(data)
        subject = _header(mail, "subject")
        _add_head(mail, subject, collector)
        _add_body(mail, options, collector)
        _note_attachments(mail, collector)
    except (MessageError, RecursionError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise Unreadable("damaged", "The mail is damaged; save it again and upload that.") from error
    return collector.finish(subject)


def _header(mail: EmailMessage, name: str) -> str:
    return clean_line(str(mail.get(name, "")))


def _add_head(mail: EmailMessage, subject: str, collector: BlockCollector) -> None:
    collector.add_heading(subject, 1)
    lines = [
        f"{name.capitalize()}: {text[:MAX_HEADER_SHOWN]}"
        for name in ("from", "to", "cc", "date")
        if (text := _header(mail, name))
    ]
    collector.add("text", "\n".join(lines))


def _add_body(mail: EmailMessage, options: ReadOptions, collector: BlockCollector) -> None:
    """Add the plain text if there is one, else the HTML."""
    body = mail.get_body(("plain", "html"))
    if body is None:
        return
    text = _part_text(body)
    if body.get_content_subtype() != "html":
        add_text(text, collector)
        return
    from tools.documents.formats.web_page import add_page  # most mails have plain text and need no HTML parser

    add_page(text, collector, options)


def _part_text(part: Any) -> str:
    payload = part.get_payload(decode=True)
    return decode(payload if isinstance(payload, bytes) else b"", part.get_content_charset() or "").text


def _note_attachments(mail: EmailMessage, collector: BlockCollector) -> None:
    names = [clean_name(part.get_filename() or "unnamed") for part in mail.iter_attachments()]
    if names:
        more = f" and {len(names) - MAX_LISTED_ATTACHMENTS} more" if len(names) > MAX_LISTED_ATTACHMENTS else ""
        collector.note(
            f"Attachments are not read; upload them separately: {', '.join(names[:MAX_LISTED_ATTACHMENTS])}{more}."
        )
