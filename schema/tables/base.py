"""What all tables are made of."""

from typing import TYPE_CHECKING, ClassVar

from sqlmodel import SQLModel


class Table(SQLModel):
    """Base of the tables. Each names itself: `__tablename__ = "jobs"`."""

    if TYPE_CHECKING:  # SQLModel declares a `declared_attr`, which a plain string is not
        __tablename__: ClassVar[str]  # type: ignore[assignment]
