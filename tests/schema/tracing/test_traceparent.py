"""The header `traceparent`, which anybody may send."""

import pytest

from schema.tracing.traceparent import TraceContext, read_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (f"00-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN, False)),
        (f"00-{TRACE}-{SPAN}-03", TraceContext(TRACE, SPAN, True)),
        (f"cc-{TRACE}-{SPAN}-01-of-the-future", TraceContext(TRACE, SPAN, True)),
    ],
)
def test_a_traceparent_is_read(text: str, context: TraceContext) -> None:
    assert context == read_traceparent(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01{'-' * 1000}",
        f"00-{TRACE}-{SPAN}-zz",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
        "'; DROP TABLE jobs; --",
    ],
)
def test_what_is_malformed_counts_as_not_sent(text: str) -> None:
    assert read_traceparent(text) is None


def test_what_is_read_is_written_the_same() -> None:
    text = f"00-{TRACE}-{SPAN}-01"
    context = read_traceparent(text)
    assert context is not None
    assert text == context.traceparent
