"""What the OpenAPI document says about uploads: the handler reads the body itself, so Litestar can't derive it."""

from typing import Any

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from api.documents.upload.response import UploadOut

DOCUMENT_EXAMPLE: dict[str, Any] = {
    "id": "019a5ca2-0b10-7d21-8e32-4f5061728394",
    "name": "pump-manual.pdf",
    "version": 1,
    "state": "queued",
    "size_bytes": 482_113,
    "media_type": "application/pdf",
    "unchanged": False,
}
ACCEPTED_RESPONSE = {
    "job_id": "019a5ca2-0b11-7a41-9c52-6d7e8f90a1b2",
    "collection": "manuals",
    "documents": [DOCUMENT_EXAMPLE],
    "refused": [{"name": "notes.txt", "code": "empty", "message": "The file is empty."}],
}
UNCHANGED_EXAMPLE = {
    "job_id": None,
    "collection": "manuals",
    "documents": [DOCUMENT_EXAMPLE | {"state": "ready", "unchanged": True}],
    "refused": [],
}
ACCEPTED_202 = ResponseSpec(
    UploadOut,
    description="The files are stored, and a job will ingest them.",
    generate_examples=False,
    examples=[Example(value=ACCEPTED_RESPONSE)],
)
OK_200 = ResponseSpec(
    UploadOut,
    description="The job has ended (`Prefer: wait=N`), or no file was new; or the job's events.",
    generate_examples=False,
)

TEXT = Schema(type=OpenAPIType.STRING)
COLLECTION = Schema(
    type=OpenAPIType.STRING,
    pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    default="default",
    description="Name of the collection. It is created if it does not exist.",
)
PRIVATE = Schema(
    type=OpenAPIType.BOOLEAN,
    default=False,
    description="Whether only you can see the documents. Requires a user's token or key, not a tenant's key.",
)
NAME = Schema(type=OpenAPIType.STRING, description="Name of the document, if a single file is uploaded.")
VALUE = Schema(
    one_of=[
        TEXT,
        Schema(type=OpenAPIType.NUMBER),
        Schema(type=OpenAPIType.BOOLEAN),
        Schema(type=OpenAPIType.ARRAY, items=TEXT),
    ]
)
CALLBACK = Schema(
    type=OpenAPIType.STRING,
    min_length=1,
    max_length=2048,
    description="Address to tell when the job ends, as `callback_url` of `POST /api/chat`.",
)
RUN_AT = Schema(
    type=OpenAPIType.STRING,
    format=OpenAPIFormat.DATE_TIME,
    description="When to ingest the documents, if not at once. Their bytes are stored, and fetched from URLs, now.",
)
ADDRESS = Schema(type=OpenAPIType.STRING, min_length=1, max_length=2000)

FORM = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "files": Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY),
            description="Files or zip archives. Any part with a file name counts as a file, whatever its field name.",
        ),
        "url": Schema(type=OpenAPIType.ARRAY, items=ADDRESS, description="URLs to fetch files from."),
        "collection": COLLECTION,
        "private": PRIVATE,
        "metadata": Schema(
            type=OpenAPIType.STRING,
            description='Your own key-value pairs to filter by, as a flat JSON object such as `{"year": 2026}`.',
        ),
        "name": NAME,
        "callback_url": CALLBACK,
        "run_at": RUN_AT,
    },
)
JSON = Schema(
    type=OpenAPIType.OBJECT,
    required=["urls"],
    additional_properties=False,
    properties={
        "urls": Schema(
            type=OpenAPIType.ARRAY,
            items=ADDRESS,
            min_items=1,
            max_items=100,
            description="URLs to fetch files from.",
        ),
        "collection": COLLECTION,
        "private": PRIVATE,
        "metadata": Schema(
            type=OpenAPIType.OBJECT,
            additional_properties=VALUE,
            description="Your own key-value pairs to filter by: text, numbers, booleans or lists of text.",
        ),
        "name": NAME,
        "callback_url": CALLBACK,
        "run_at": RUN_AT,
    },
)
BODY = RequestBody(
    required=True,
    content={
        "multipart/form-data": OpenAPIMediaType(
            schema=FORM,
            examples={
                "example": Example(
                    value={"files": ["pump-manual.pdf"], "collection": "manuals", "metadata": '{"year": 2026}'}
                )
            },
        ),
        "application/json": OpenAPIMediaType(
            schema=JSON,
            examples={
                "example": Example(
                    value={
                        "urls": ["https://files.example.com/pump-manual.pdf"],
                        "collection": "manuals",
                        "metadata": {"year": 2026},
                    }
                )
            },
        ),
    },
)
