"""Tools over what the caller has here: memories, documents, the machine."""

from collections.abc import Sequence
from dataclasses import replace

from schema.errors import NotFound
from tests.tools.tool_contexts import call, failure, make_context
from tools.builtin import recall, remember, search_documents, system_info
from tools.contract import Memory, Passage

DEBT = Passage(
    "Invoices are due after 30 days.", "d1", "terms.pdf", page=3, heading="Payment", score=0.9, chunk_id="c1"
)


class Memories:
    """A memory that finds what shares a word with the query."""

    def __init__(self) -> None:
        self.kept: list[Memory] = []

    async def remember(self, text: str) -> str:
        self.kept.append(Memory(str(len(self.kept)), text))
        return self.kept[-1].id

    async def recall(self, query: str, k: int) -> Sequence[Memory]:
        return [memory for memory in self.kept if set(query.lower().split()) & set(memory.text.lower().split())][:k]

    async def forget(self, id: str) -> bool:
        return False


class Documents:
    """One passage, in the collection `terms`."""

    async def search(self, query: str, *, collection: str | None, k: int) -> Sequence[Passage]:
        if collection not in (None, "terms"):
            raise NotFound("There is no such collection.")
        return [DEBT][:k] if "due" in query else []


async def test_what_was_remembered_is_recalled() -> None:
    context = make_context(memory=Memories())
    kept = await call(remember.build(), context, fact="  Lan works\n in Hai Phong ")
    found = await call(recall.build(), context, query="where works she")
    assert {"id": "0", "fact": "Lan works in Hai Phong"} == kept.data
    assert ("- Lan works in Hai Phong", [{"id": "0", "text": "Lan works in Hai Phong"}]) == (
        found.text,
        found.data["memories"],
    )
    assert "Nothing about this was remembered." == (await call(recall.build(), context, query="cats")).text


async def test_an_empty_fact_is_not_kept() -> None:
    memories = Memories()
    error = await failure(remember.build(), make_context(memory=memories), fact="  \n ")
    assert ("fact", []) == (error.field, memories.kept)


async def test_without_a_memory_or_documents_the_tools_say_so() -> None:
    errors = [
        await failure(remember.build(), fact="x"),
        await failure(recall.build(), query="x"),
        await failure(search_documents.build(), query="x"),
    ]
    assert ["ToolUnavailable"] * 3 == [type(error).__name__ for error in errors]


async def test_passages_are_numbered_and_carry_what_a_citation_needs() -> None:
    result = await call(
        search_documents.build(), make_context(documents=Documents()), query="when due", collection="terms"
    )
    assert "[1] (terms.pdf, page 3, Payment)\nInvoices are due after 30 days." == result.text
    assert [(1, "d1", "terms.pdf", 3, "c1")] == [
        (each["number"], each["document_id"], each["document"], each["page"], each["chunk_id"])
        for each in result.data["passages"]
    ]


async def test_documents_that_say_nothing_about_it_are_said_to() -> None:
    context = make_context(documents=Documents())
    assert (
        "Not in the documents: no passage fits. Say so."
        == (await call(search_documents.build(), context, query="cats")).text
    )
    error = await failure(search_documents.build(), context, query="due", collection="others")
    assert "There is no such collection." == error.message


async def test_what_is_nearest_is_named_and_is_no_source() -> None:
    class Nearest(Documents):
        async def search(self, query: str, *, collection: str | None, k: int) -> Sequence[Passage]:
            return [replace(DEBT, near_miss=True)]

    result = await call(search_documents.build(), make_context(documents=Nearest()), query="cats")
    first, heading, line = result.text.split("\n")
    assert (search_documents.NO_PASSAGES, search_documents.NEAREST) == (first, heading)
    assert "- (terms.pdf, page 3, Payment) Invoices are due after 30 days." == line
    assert ([], ["d1"]) == (result.data["passages"], [one["document_id"] for one in result.data["nearest"]])


async def test_the_machine_is_shown_to_admins_only() -> None:
    error = await failure(system_info.build(), make_context(rights=frozenset({"chat"})))
    result = await call(system_info.build(), make_context(rights=frozenset({"chat", "admin"})))
    assert "tool_refused" == error.code
    assert {"system", "python", "cpus", "load", "memory", "disk"} == set(result.data)
    assert result.data["memory"]["total"] > result.data["memory"]["available"] > 0


async def test_what_others_wrote_is_marked_as_data_and_what_changes_things_as_such() -> None:
    assert search_documents.SPEC.untrusted
    assert (True, False) == (remember.SPEC.side_effects, recall.SPEC.side_effects)
