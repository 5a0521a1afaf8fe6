"""Helpers to store files, and to read and list them."""

from uuid import uuid4

from workers.storage.contract import Storage, new_name


async def put(storage: Storage, content: bytes, name: str | None = None) -> str:
    name = name or new_name(uuid4())
    async with storage.staging.temporary_folder() as folder:
        (folder / "f").write_bytes(content)
        await storage.put(name, folder / "f")
    return name


async def read(storage: Storage, name: str) -> bytes:
    return b"".join([piece async for piece in storage.read(name)])


async def names(storage: Storage, prefix: str = "") -> set[str]:
    return {name async for name in storage.list_names(prefix)}
