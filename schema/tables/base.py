"""The base class of all tables."""

from typing import TYPE_CHECKING, ClassVar

from sqlmodel import SQLModel


class Table(SQLModel):
    """Base of all tables. Each sets its name: `__tablename__ = "jobs"`."""

    if TYPE_CHECKING:  # SQLModel declares a `declared_attr`, which a plain string is not
        __tablename__: ClassVar[str]  # type: ignore[assignment]
