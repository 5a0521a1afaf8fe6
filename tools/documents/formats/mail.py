"""Mails (EML): the subject is the heading, then who wrote to whom and when, then the text. Attachments are named in a note."""

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
MAX_SHOWN = 500
LONG_HEADER = re.compile(rb"^[!-9;-~]+:(?:[^\n]|\n[ \t]){65536}", re.MULTILINE)
NAMED = 20


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, empty, too_large."""
    data = file.read()
    if LONG_HEADER.search(data[: 4 * MAX_HEADER]):  # the library takes hours for those
        raise Unreadable("damaged", "The head of the mail is longer than any that is sent.")
    gathering = BlockCollector(options.max_characters)
    try:
        mail = BytesParser(EmailMessage, policy=policy.default).parsebytes(data)
        subject = _header(mail, "subject")
        _add_head(mail, subject, gathering)
        _add_body(mail, options, gathering)
        _note_attachments(mail, gathering)
    except (MessageError, RecursionError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise Unreadable("damaged", "The mail is damaged; save it again and upload that.") from error
    return gathering.done(subject)


def _header(mail: EmailMessage, name: str) -> str:
    return clean_line(str(mail.get(name, "")))


def _add_head(mail: EmailMessage, subject: str, gathering: BlockCollector) -> None:
    gathering.add_heading(subject, 1)
    lines = [
        f"{name.capitalize()}: {text[:MAX_SHOWN]}"
        for name in ("from", "to", "cc", "date")
        if (text := _header(mail, name))
    ]
    gathering.add("text", "\n".join(lines))


def _add_body(mail: EmailMessage, options: ReadOptions, gathering: BlockCollector) -> None:
    """The plain text if there is one, else the HTML."""
    body = mail.get_body(("plain", "html"))
    if body is None:
        return
    text = _text(body)
    if body.get_content_subtype() != "html":
        add_text(text, gathering)
        return
    from tools.documents.formats.web_page import add_page  # most mails have plain text, and need no parser

    add_page(text, gathering, options)


def _text(part: Any) -> str:
    payload = part.get_payload(decode=True)
    return decode(payload if isinstance(payload, bytes) else b"", part.get_content_charset() or "").text


def _note_attachments(mail: EmailMessage, gathering: BlockCollector) -> None:
    names = [clean_name(part.get_filename() or "unnamed") for part in mail.iter_attachments()]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        gathering.note(f"Attachments are not read; upload them by themselves: {', '.join(names[:NAMED])}{more}.")
