"""What was typed into a form and what is wrong with it. Its looks: `templates/_parts.html`."""

from __future__ import annotations

from dataclasses import dataclass, field

from demijohn import request


@dataclass
class Form:
    """The typed values by field name, and one error text for each field that was refused."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def sent(cls, *names: str) -> Form:
        """Return the named fields of the current request; line ends become LF."""
        return cls({name: request.form.get(name, "").replace("\r\n", "\n") for name in names})

    @property
    def is_good(self) -> bool:
        """Whether no field was refused."""
        return not self.errors

    def need_text(self, name: str, what: str, longest: int) -> str:
        """Return the field without outer blanks; refuse it if empty or longer than `longest`."""
        value = self.values[name].strip()
        if not value:
            self.errors[name] = f"{what} is missing."
        elif len(value) > longest:
            self.errors[name] = f"{what} has {len(value)} characters; {longest} is the most."
        return value
