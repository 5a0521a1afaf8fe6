"""Numbers and encodes the events of one response's stream, and keeps the items of its output."""

from typing import Any
from uuid import UUID

import msgspec

from api.openai.responses.objects import Item

_encode = msgspec.json.Encoder().encode


class EventWriter:
    """Writes events. `written` are those that nobody has taken yet; `number` is that of the next one, from 0."""

    def __init__(self, job_id: UUID) -> None:
        self.items: list[Item] = []
        self.number = 0
        self.written: list[bytes] = []
        self._job = job_id.hex

    def tell(self, kind: str, **fields: Any) -> None:
        """Write an event."""
        data = _encode({"type": kind, "sequence_number": self.number, **fields})
        self.written.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))
        self.number += 1

    def take(self) -> list[bytes]:
        """Return the events that were written since the last time."""
        written, self.written = self.written, []
        return written

    def open_item(self, prefix: str, kind: str, **fields: Any) -> int:
        """Begin an item of the output, and return its index. Its id follows from the job and the index."""
        index = len(self.items)
        item = {"id": f"{prefix}_{self._job}_{index}", "type": kind, **fields}
        self.items.append(item)
        self.tell("response.output_item.added", output_index=index, item=item)
        return index

    def close_item(self, index: int) -> None:
        """Tell that an item is complete."""
        self.tell("response.output_item.done", output_index=index, item=self.items[index])

    def place(self, index: int) -> dict[str, Any]:
        """Return the fields that say to which item an event belongs."""
        return {"item_id": self.items[index]["id"], "output_index": index}
