"""Errors of the local stack; they extend the tree in `schema/errors.py`.

HeadraceError
└── LocalError            a store, a port, a folder or a process on this machine is not usable
    ├── HomeInUse         another process uses the same data folder
    └── PortTaken         a port that was asked for can't be had
"""

from schema.errors import HeadraceError


class LocalError(HeadraceError):
    code = "local"


class PortTaken(LocalError):
    code = "port_taken"


class HomeInUse(LocalError):
    code = "home_in_use"
