"""Registers as classes, their values as immutable objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, NoReturn, Self

from pymmio.errors import DeclarationError, RegisterError
from pymmio.regs.bits import to_unsigned
from pymmio.regs.field import RESERVED, RO, RW, W1C, W1S, WO, AccessKind, Field
from pymmio.regs.names import unknown_name
from pymmio.regs.spec import RegisterSpec

__all__ = ["Register"]

# Keyword arguments of BoundRegister's methods: a field of that name could not be given.
TAKEN = frozenset({"order", "timeout_s"})


class Register:
    """A register, declared once; an instance is one value of it.

    ::

        class CC(Register, offset=0x14, width=32, access=RW):
            en = Field(bit=0, doc="enable")
            css = Field(bits=(4, 6), enum=CommandSet)

    Class arguments: ``offset`` in bytes (may be left to :class:`~pymmio.regs.file.Reg`),
    ``width`` in bits (8, 16, 32, 64), ``access`` of fields that do not say theirs (RW),
    ``reset`` (the value after reset, else made of the fields'), ``read_side_effects`` (True,
    False, or None: as the region's rule says) and ``all_ones_means_gone`` (a read of all ones
    raises DeviceGone).  A subclass of a register inherits fields and arguments.  A wrong
    declaration raises DeclarationError when the class is made.

    ``CC(en=1)`` is a value with 0 in all other fields, ``CC(0x460001)`` a value by number;
    both together start from the number.  A value equals an int of that number and a value of
    the same register, not one of another register.
    """

    __slots__ = ("_raw",)

    _raw: int
    spec: ClassVar[RegisterSpec]

    def __init_subclass__(
        cls,
        *,
        offset: int | None = None,
        width: int | None = None,
        access: AccessKind | None = None,
        reset: int | None = None,
        read_side_effects: bool | None = None,
        all_ones_means_gone: bool | None = None,
    ) -> None:
        super().__init_subclass__()
        parent: RegisterSpec | None = getattr(cls, "spec", None)
        if "spec" in cls.__dict__:
            raise DeclarationError(f"{cls.__name__}: the name 'spec' is taken", hint="Rename it")
        if parent is not None:
            offset = parent.offset if offset is None else offset
            width = parent.width if width is None else width
            access = parent.access if access is None else access
            if read_side_effects is None:
                read_side_effects = parent.read_side_effects
            if all_ones_means_gone is None:
                all_ones_means_gone = parent.all_ones_means_gone
        if width is None:
            raise DeclarationError(
                f"{cls.__name__} has no width", hint="Give width=8, 16, 32 or 64 (bits)"
            )
        fields = _collect(cls, parent, width, access or RW)
        if reset is None:
            reset = sum((f.reset or 0) << f.bits.low for f in fields.values())
        cls.spec = RegisterSpec(
            name=cls.__name__,
            offset=offset,
            width=width,
            access=access or RW,
            fields=fields,
            reset=reset,
            doc=(cls.__doc__ or "").strip().partition("\n")[0].rstrip(".")
            if "__doc__" in vars(cls)
            else "",
            read_side_effects=read_side_effects,
            all_ones_means_gone=bool(all_ones_means_gone),
        )
        cls.spec.check()

    def __init__(self, value: int | Self = 0, /, **fields: int) -> None:
        spec = self.spec
        raw = to_unsigned(spec.name, value, spec.width)
        mask, bits = self._encode(fields)
        set_raw(self, (raw & ~mask) | bits)

    @classmethod
    def _encode(cls, fields: Mapping[str, int]) -> tuple[int, int]:
        """Return the mask of the named fields and their values at their places.

        Raise RegisterError for an unknown or reserved field and a value that does not fit.
        """
        spec = cls.spec
        mask = bits = 0
        for name, value in fields.items():
            field = spec.fields.get(name)
            if field is None:
                raise unknown_name(spec.name, name, spec.fields)
            if field.access is RESERVED:
                raise RegisterError(
                    f"{spec.name}.{name} ({field.bits}) is reserved",
                    hint="Leave it out; reserved bits keep their value",
                )
            bits |= field._encode(spec.name, value)
            mask |= field.mask
        return mask, bits

    @classmethod
    def reset_value(cls) -> Self:
        """Return the value that the declaration gives for after a reset."""
        return cls(cls.spec.reset)

    def replace(self, **fields: int) -> Self:
        """Return a copy with other values in the named fields."""
        return type(self)(self, **fields)

    def neutral(self) -> Self:
        """Return a copy that can be written back without clearing or setting anything.

        W1C and W1S fields are 0, and so are bits that no field declares: in such registers
        they may become W1C bits later (RsvdZ, PCIe Base 5.0 §7.4).  Bits that must be
        preserved instead (RsvdP) are declared as RESERVED.  Raise RegisterError if the
        register has WO fields: what to write there cannot be read.
        """
        spec = self.spec
        if blind := spec.mask(WO):
            raise RegisterError(
                f"{spec.name} has write-only bits (0x{blind:x}), their value cannot be read",
                hint=f"Write the whole register: write({spec.name}(...))",
            )
        keep = spec.mask(RO, RW, RESERVED) if spec.mask(W1C, W1S) else spec.all_ones
        return type(self)(self._raw & keep)

    def fields(self) -> dict[str, int]:
        """Return the values of all fields by name, reserved ones left out."""
        return {
            name: getattr(self, name)
            for name, field in self.spec.fields.items()
            if field.access is not RESERVED
        }

    def __int__(self) -> int:
        return self._raw

    __index__ = __int__

    def __bool__(self) -> bool:
        return self._raw != 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Register):
            return type(self) is type(other) and self._raw == other._raw
        return self._raw == other if isinstance(other, int) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._raw)

    def __format__(self, spec: str) -> str:
        return format(self._raw, spec) if spec else str(self)

    def __repr__(self) -> str:
        parts = [f"0x{self._raw:0{self.spec.width // 4}x}"]
        for name, value in self.fields().items():
            shown = getattr(value, "name", None) or (str(int(value)) if value < 10 else hex(value))
            parts.append(f"{name}={shown}")
        return f"{self.spec.name}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        from pymmio.regs.html import value_html

        return value_html(self)

    def __reduce__(self) -> tuple[type[Self], tuple[int]]:
        return type(self), (self._raw,)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"{self.spec.name} values are immutable: use value.replace({name}=...), and "
            "write() or update() of the register to change the device"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self.spec.name} values are immutable")


set_raw: Callable[[Register, int], None] = Register.__dict__["_raw"].__set__
"""Set the number of a value that is being made (not part of the public interface)."""


def _collect(
    cls: type[Register], parent: RegisterSpec | None, width: int, access: AccessKind
) -> dict[str, Field[int]]:
    """Give ``cls`` its own copy of each field, inherited ones first, in order of their bits."""
    found: dict[str, Field[int]] = dict(parent.fields) if parent is not None else {}
    for name, item in list(vars(cls).items()):
        if isinstance(item, Field):
            if name in TAKEN or hasattr(Register, name):
                raise DeclarationError(
                    f"{cls.__name__}: a field cannot be named {name!r}, the name is taken",
                    hint=f"Name it {name}_",
                )
            found[name] = item
        elif name in found:
            raise DeclarationError(
                f"{cls.__name__}.{name} hides the inherited field of that name",
                hint="Rename it",
            )
    result = {}
    for name in sorted(found, key=lambda key: found[key].bits.low):
        own = found[name]._bound_to(cls.__name__, name, width, access)
        setattr(cls, name, own)
        result[name] = own
    return result
