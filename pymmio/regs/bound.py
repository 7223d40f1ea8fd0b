"""A register of a device: reads, writes, updates and waits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from pymmio.errors import (
    BadArgument,
    DeviceGone,
    DeviceTimeout,
    ReadOnly,
    RegisterError,
    UnsafeUpdate,
    WriteOnly,
)
from pymmio.regs.bits import to_unsigned
from pymmio.regs.field import RESERVED, RO, RW, W1C, W1S, WO, AccessKind
from pymmio.regs.names import unknown_name
from pymmio.regs.register import Register, set_raw
from pymmio.regs.space import RegisterSpace
from pymmio.regs.spec import RegisterSpec

if TYPE_CHECKING:
    from pymmio.mmio.access import Order

__all__ = ["BoundRegister"]

R = TypeVar("R", bound=Register)

GONE_CHECK_S = 0.25
"""How often a wait looks whether the device is still there, in seconds."""

_new = object.__new__


class BoundRegister(Generic[R]):
    """A register of type ``R`` at its place in a region.

    Every method says how many accesses it makes; each is one access of the register's
    width at ``offset``.  Errors of the region (OutOfBounds, AccessFault, Closed, ...) pass
    through.
    """

    __slots__ = ("_gone", "_read", "_side_effects", "_space", "_type", "_write", "name", "offset")

    name: str
    offset: int

    def __init__(
        self,
        space: RegisterSpace,
        register: type[R],
        *,
        name: str,
        offset: int,
        check_gone: bool = True,
    ) -> None:
        spec = register.spec
        self._space = space
        self._type = register
        self.name = name
        self.offset = offset
        self._read = getattr(space, f"read{spec.width}") if spec.readable else self._refuse_read
        self._write = getattr(space, f"write{spec.width}")
        self._gone = spec.all_ones if check_gone and spec.all_ones_means_gone else -1
        self._side_effects = _reads_have_side_effects(spec, space)

    @property
    def spec(self) -> RegisterSpec:
        """The declaration of the register."""
        return self._type.spec

    @property
    def has_read_side_effects(self) -> bool:
        """Whether a read changes the device, by declaration or by the rule of the region."""
        return self._side_effects

    def __repr__(self) -> str:
        return f"<register {self._where()}, {self.spec.width} bits>"

    def _repr_html_(self) -> str:
        from pymmio.regs.html import register_html

        return register_html(self)

    # --- reads ---------------------------------------------------------------------

    def read(self, *, order: Order | None = None) -> R:
        """Read the register: one access.

        ``order`` says which half of 64 bits goes first where the region splits them.
        Raise WriteOnly if nothing in it can be read, DeviceGone if the declaration says
        that all ones mean that.
        """
        raw: int = self._read(self.offset) if order is None else self._read_ordered(order)
        if raw == self._gone:
            self._raise_gone()
        value: R = _new(self._type)
        set_raw(value, raw)
        return value

    def read_raw(self) -> int:
        """Read the register as a number: one access; all ones are not looked at."""
        raw: int = self._read(self.offset)
        return raw

    def wait_until(self, *, timeout_s: float, **fields: int) -> R:
        """Read until the named fields have the given values; return the last value read.

        The region polls (in C where it is mapped).  Raise DeviceTimeout, with the register,
        what was wanted and the last value, when ``timeout_s`` is over; DeviceGone if the
        declaration says that all ones mean that, also before the time is over.
        """
        if not fields:
            raise RegisterError(
                f"{self.name}: wait_until() without a field",
                hint="Name one: wait_until(rdy=1, ...)",
            )
        if not 0 <= timeout_s < math.inf:
            raise BadArgument(
                f"{self.name}: timeout_s={timeout_s!r}",
                hint="Every wait has a deadline: give seconds",
            )
        self._refuse_unreadable(fields)
        mask, wanted = self._type._encode(fields)
        wait = getattr(self._space, f"wait{self.spec.width}")
        left = float(timeout_s)
        while True:
            part = left if self._gone < 0 else min(left, GONE_CHECK_S)
            try:
                raw: int = wait(self.offset, mask=mask, value=wanted, timeout_s=part)
                break
            except DeviceTimeout as error:
                last = self.read_raw() if error.last is None else error.last
                if last == self._gone:
                    self._raise_gone(error)
                left -= part
                if left <= 0:
                    raise self._timeout(fields, timeout_s, last) from error
        if raw == self._gone:
            self._raise_gone()
        return self._type(raw)

    # --- writes --------------------------------------------------------------------

    def write(
        self, value: int | R | None = None, /, *, order: Order | None = None, **fields: int
    ) -> None:
        """Write the whole register: one access.

        ``write(CC(en=1))``, ``write(0x460001)`` or ``write(en=1)``, which is 0 in all
        other fields.  W1C and W1S fields that are 1 in the value act.  ``order`` as for
        :meth:`read`.  Raise ReadOnly if nothing in the register, or a field that is named,
        can be written.
        """
        self._refuse_unwritable(fields)
        if isinstance(value, Register) and not isinstance(value, self._type):
            raise RegisterError(
                f"{self.name} was given a value of {type(value).__name__}",
                hint=f"Give an int or a value of {self._type.__name__}",
            )
        if value is None and not fields:
            raise RegisterError(f"{self.name}: write() without a value", hint="Give it a value")
        spec = self.spec
        raw = 0 if value is None else to_unsigned(self.name, value, spec.width)
        if fields:
            mask, bits = self._type._encode(fields)
            raw = (raw & ~mask) | bits
        self._write_raw(raw, order)

    def update(self, *, order: Order | None = None, **fields: int) -> R:
        """Change the named fields and keep all other bits: one read, one write.

        Return the value written.  Raise UnsafeUpdate, without an access, if a
        read-modify-write of this register could lose or trigger something: it has W1C, W1S
        or WO fields, or its reads have side effects.  Nothing stops the device or another
        thread from changing the register between the two accesses.
        """
        if not fields:
            raise RegisterError(
                f"{self.name}: update() without a field", hint="Name one: update(en=1)"
            )
        self._refuse_unwritable(fields)
        mask, bits = self._type._encode(fields)
        self._refuse_unsafe_update()
        value = self._type((int(self.read(order=order)) & ~mask) | bits)
        self._write_raw(int(value), order)
        return value

    def clear(self, *names: str) -> None:
        """Clear the named W1C fields and no other: write 1 to all of their bits.

        The value written has 0 in all other W1C and W1S fields, and in bits that no field
        declares.  If the register has RW or RESERVED fields it is read first and they are
        written back as read, else there is no read.  Raise RegisterError if a field is not
        W1C, UnsafeUpdate if the rest cannot be kept (WO fields; RW or RESERVED ones where
        reads have side effects).
        """
        self._write_one(names, W1C, "clear")

    def set(self, *names: str) -> None:
        """Set the named W1S fields and no other: write 1 to all of their bits.

        The rest is kept as by :meth:`clear`, with the same errors.
        """
        self._write_one(names, W1S, "set")

    # --- how -----------------------------------------------------------------------

    def _write_one(self, names: tuple[str, ...], kind: AccessKind, method: str) -> None:
        spec = self.spec
        if not names:
            raise RegisterError(
                f"{self.name}: {method}() without a field",
                hint=f"Name the {kind} fields: {_listing(spec, kind)}",
            )
        ones = 0
        for name in names:
            field = spec.fields.get(name)
            if field is None:
                raise unknown_name(spec.name, name, spec.fields)
            if field.access is not kind:
                raise RegisterError(
                    f"{self.name}.{name} is {field.access}, {method}() is for {kind} fields",
                    hint=f"Fields that it can {method}: {_listing(spec, kind)}",
                )
            ones |= field.mask
        if spec.mask(WO):
            raise UnsafeUpdate(
                f"{self.name}: {method}() would also write the WO fields {_listing(spec, WO)}",
                hint=f"Write the whole register: write({spec.name}(...))",
            )
        kept = 0
        if stored := spec.mask(RW, RESERVED):
            if self._side_effects:
                raise UnsafeUpdate(
                    f"{self.name}: {method}() must read to keep {_listing(spec, RW, RESERVED)}, "
                    "and reads have side effects",
                    hint=f"Write the whole register: write({spec.name}(...))",
                )
            kept = int(self.read()) & stored
        self._write_raw(kept | ones, None)

    def _read_ordered(self, order: Order) -> int:
        if not self.spec.readable:
            self._refuse_read(self.offset)
        self._refuse_order()
        return self._space.read64(self.offset, order=order)

    def _write_raw(self, raw: int, order: Order | None) -> None:
        if order is None:
            self._write(self.offset, raw)
        else:
            self._refuse_order()
            self._space.write64(self.offset, raw, order=order)

    def _where(self) -> str:
        return f"{self.name} ({self._space.name} + 0x{self.offset:x})"

    def _timeout(self, fields: Mapping[str, int], timeout_s: float, last: int) -> DeviceTimeout:
        wanted = ", ".join(f"{name}={_shown(value)}" for name, value in fields.items())
        return DeviceTimeout(
            f"{self._where()}: waited {timeout_s:g} s for {wanted}, last value "
            f"{self._type(last)!r}",
            last=last,
            hint="Wait longer, or reset the device",
        )

    # --- refusals ------------------------------------------------------------------

    def _raise_gone(self, cause: DeviceTimeout | None = None) -> NoReturn:
        raise DeviceGone(
            f"{self._where()} reads as all ones (0x{self.spec.all_ones:x})",
            hint="The device does not answer: unplugged, powered down, or its memory is disabled",
        ) from cause

    def _refuse_order(self) -> None:
        if self.spec.width != 64:
            raise RegisterError(
                f"{self.name} has {self.spec.width} bits, order= is for 64", hint="Leave it out"
            )

    def _refuse_read(self, offset: int, field: str = "") -> int:
        raise WriteOnly(
            f"{self._where()}{': field ' + field if field else ''} is write-only",
            region=self._space.name,
            offset=offset,
            width=self.spec.size_bytes,
            hint="Keep what you wrote; a read would mean nothing",
        )

    def _refuse_unreadable(self, fields: Mapping[str, int]) -> None:
        known = self.spec.fields
        for name in fields:
            if name in known and known[name].access is WO:
                self._refuse_read(self.offset, name)
        if not self.spec.readable:
            self._refuse_read(self.offset)

    def _refuse_unwritable(self, fields: Mapping[str, int]) -> None:
        spec = self.spec
        which = ""
        if spec.writable:
            which = next(
                (n for n in fields if n in spec.fields and spec.fields[n].access is RO), ""
            )
            if not which:
                return
        raise ReadOnly(
            f"{self._where()}{': field ' + which if which else ''} is read-only",
            region=self._space.name,
            offset=self.offset,
            width=spec.size_bytes,
            is_write=True,
            hint="Leave the field out" if which else "Only read it",
        )

    def _refuse_unsafe_update(self) -> None:
        spec = self.spec
        for field in spec.fields.values():
            if field.access in (W1C, W1S, WO):
                reason = {
                    W1C: "writing back a 1 that was read would clear it",
                    W1S: "writing back a 1 that was read would set it again",
                    WO: "what was read of it means nothing and must not be written back",
                }[field.access]
                instead = {
                    W1C: f"clear({field.name!r}), or write(register.read().neutral().replace(...))",
                    W1S: f"set({field.name!r}), or write(register.read().neutral().replace(...))",
                    WO: f"write({spec.name}(...)) with all fields",
                }[field.access]
                raise UnsafeUpdate(
                    f"{self._where()}: update() refused, field {field.name!r} is {field.access}: "
                    f"{reason}",
                    hint=f"Use {instead}",
                )
        if self._side_effects:
            raise UnsafeUpdate(
                f"{self._where()}: update() refused, reads of it have side effects",
                hint=f"Use write({spec.name}(...)) with all fields",
            )


def _reads_have_side_effects(spec: RegisterSpec, space: RegisterSpace) -> bool:
    if spec.read_side_effects is not None:
        return spec.read_side_effects
    return bool(getattr(getattr(space, "rule", None), "read_side_effects", False))


def _listing(spec: RegisterSpec, *kinds: AccessKind) -> str:
    return ", ".join(f.name for f in spec.fields.values() if f.access in kinds) or "none"


def _shown(value: int) -> str:
    return getattr(value, "name", None) or f"{int(value)}"
