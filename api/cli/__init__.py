"""The commands of `./headrace`: one file each, or one for a few similar ones. `api/__main__.py` lists them;
those that talk to a running headrace are in `client/`.

Every file has `add_arguments(parser)` and `run(arguments) -> int`, the exit status. A file is imported only when its
command is called, so that each starts quickly.
"""
