"""Conversations that others have stored, read from their files. Writing them is `schema/queries/sessions/imported.py`.

conversations.py  a conversation of any source, and how roles, texts and times are understood
session_files.py  JSON files as prototypes keep them: a session each, or many
open_webui.py     the export of Open WebUI's chats
reading.py        which files there are, and which reader understands one
"""
