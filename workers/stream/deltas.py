"""Merges adjacent deltas of one kind that are written together into one event."""

from schema.events import Event, MessageDelta, ReasoningDelta


def merge_deltas(events: list[Event]) -> list[Event]:
    """Return `events` in order, with each run of text (or reasoning) deltas merged into one. Those with tool calls, refusals,
    logprobs or signatures, which are rare, stay as they are."""
    merged: list[Event] = []
    run: list[str] = []
    kind: type[MessageDelta] | type[ReasoningDelta] | None = None

    def close() -> None:
        if kind is not None and run:
            merged.append(kind(text="".join(run)))
            run.clear()

    for event in events:
        text = event if isinstance(event, MessageDelta | ReasoningDelta) else None
        if isinstance(text, MessageDelta) and (
            text.tool_calls is not None or text.logprobs is not None or text.refusal
        ):
            text = None
        if isinstance(text, ReasoningDelta) and text.signature:
            text = None
        this = None if text is None else type(text)
        if this is not kind:
            close()
            kind = this
        if text is None:
            merged.append(event)
        else:
            run.append(text.text)
    close()
    return merged
