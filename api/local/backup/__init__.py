"""Backups of an installation: one file with the database and the stored files, never with keys.

archive.py   the file: a tar whose last members prove that it is whole
programs.py  pg_dump, pg_restore and psql: which ones, and how they connect
keys.py      the keys that open the secrets: where they are, and copies of them in files of their own
make.py      writes a backup, while everything runs
restore.py   puts one back: all of it or nothing
failures.py  what can go wrong, in sentences
"""
