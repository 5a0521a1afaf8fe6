"""Putting files into a storage and looking at what is there, for tests."""

from uuid import uuid4

from workers.storage.contract import Storage, new_name


async def put(storage: Storage, content: bytes, name: str | None = None) -> str:
    name = name or new_name(uuid4())
    async with storage.incoming.room() as room:
        (room / "f").write_bytes(content)
        await storage.put(name, room / "f")
    return name


async def read(storage: Storage, name: str) -> bytes:
    return b"".join([piece async for piece in storage.read(name)])


async def names(storage: Storage, prefix: str = "") -> set[str]:
    return {name async for name in storage.list_names(prefix)}
