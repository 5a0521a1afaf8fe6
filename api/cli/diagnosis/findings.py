"""A line of `doctor`'s report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` is empty when all is well. `hint` marks what isn't wrong, only worth knowing."""

    subject: str
    state: str
    advice: str = ""
    hint: bool = False

    def __str__(self) -> str:
        mark = "ok   " if not self.advice else ("note " if self.hint else "WRONG")
        return f"{mark} {self.subject:12} {self.state}" + (f"\n{'':18} → {self.advice}" if self.advice else "")
