"""What differs between two dumps of the same register file."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.regs.dump import DumpedRegister, RegisterDump

__all__ = ["FieldChange", "RegisterChange", "changes"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field whose value is another one; both as for people."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class RegisterChange:
    """A register whose value is another one, or that was read once and not the other time."""

    before: DumpedRegister
    after: DumpedRegister
    fields: tuple[FieldChange, ...]

    @property
    def name(self) -> str:
        """The register's name."""
        return self.after.name

    def as_dict(self) -> dict[str, object]:
        """Return everything by name, ready for JSON."""
        old = {field.name: field.value for field in self.before.fields}
        new = {field.name: field.value for field in self.after.fields}
        names = [field.name for field in self.fields]
        return {
            "name": self.name,
            "offset": self.after.offset,
            "before": self.before.value,
            "after": self.after.value,
            "fields": {name: [old.get(name), new.get(name)] for name in names},
        }

    def __str__(self) -> str:
        """Return the change as one line."""
        said = ", ".join(map(str, self.fields))
        return f"{self.name} {_shown(self.before)} -> {_shown(self.after)}  {said}".rstrip()


def changes(before: RegisterDump, after: RegisterDump) -> tuple[RegisterChange, ...]:
    """Return the registers whose values differ, in the order of ``after``.

    Registers that are not in both dumps are left out; reasons why one was not read are none.
    """
    old = {(one.offset, one.name): one for one in before.registers}
    found: list[RegisterChange] = []
    for new in after.registers:
        was = old.get((new.offset, new.name))
        if was is not None and was.value != new.value:
            values = {field.name: field.text for field in was.fields}
            fields = tuple(
                FieldChange(field.name, values.get(field.name, "-"), field.text)
                for field in new.fields
                if values.get(field.name) != field.text
            )
            found.append(RegisterChange(was, new, fields))
    return tuple(found)


def _shown(register: DumpedRegister) -> str:
    return "unreadable" if register.value is None else register.hex
