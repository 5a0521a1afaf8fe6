"""What can go wrong with things that we run on this machine. The tree of `schema/errors.py` goes on here.

HeadraceError
└── LocalError            a store, a port, a folder or a process of this machine is not as it must be
    └── HomeInUse         another process works on the same data folder
"""

from schema.errors import HeadraceError


class LocalError(HeadraceError):
    code = "local"


class HomeInUse(LocalError):
    code = "home_in_use"
