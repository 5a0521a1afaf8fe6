"""What other programs have stored, read from their files and written as a tenant's own.

conversations.py        a conversation of any source, and how roles, texts and times are understood
trees.py                which branch of a conversation's tree of messages is the conversation
session_files.py        JSON files as prototypes keep them: a session each, or many
open_webui.py           the export of Open WebUI's chats
open_webui_database.py  the same from its database
chatgpt.py              ChatGPT's export
librechat.py            LibreChat's export of a conversation, and of its collections
archives.py             sessions that headrace has archived
people.py               users.json: people with bcrypt hashes
persona.py              persona.json: who all agents of the tenant are
documents.py            which files there are, packed ones too, and what is in one
reading.py              which reader understands a document
writing.py              one transaction for all of it; `schema/queries/sessions/imported.py` has its SQL
"""
