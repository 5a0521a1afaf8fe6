"""The commands of `./headrace`: one file each, or one for a few that are alike. `api/__main__.py` finds them.

Every file has `add_arguments(parser)` and `run(arguments) -> int`, the exit status. Files are imported only when their
command is called, so that each starts quickly.
"""
