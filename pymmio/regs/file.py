"""Register files: all registers of a block of a device, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar, overload

from pymmio.errors import DeclarationError, OutOfBounds, RegisterError
from pymmio.regs.bound import BoundRegister
from pymmio.regs.overlap import check_places
from pymmio.regs.register import Register
from pymmio.regs.space import RegisterSpace
from pymmio.regs.spec import RegisterSpec, check_offset

if TYPE_CHECKING:
    from pymmio.regs.dump import RegisterDump

__all__ = ["BoundRegArray", "Place", "Reg", "RegArray", "RegisterFile"]

R = TypeVar("R", bound=Register)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a register stands in its file; an array has ``count`` of them, each ``stride`` on.

    ``offset`` and ``stride`` are in bytes.
    """

    name: str
    register: type[Register]
    offset: int
    count: int = 1
    stride: int = 0
    is_array: bool = False

    @property
    def spec(self) -> RegisterSpec:
        """The declaration of the register."""
        return self.register.spec


class Reg(Generic[R]):
    """Declare one register of a :class:`RegisterFile`; ``offset`` overrides the register's own."""

    __slots__ = ("name", "offset", "register")

    def __init__(self, register: type[R], *, offset: int | None = None) -> None:
        self.register = register
        self.offset = offset
        self.name = ""

    def __set_name__(self, owner: type[RegisterFile], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, regs: None, owner: type[RegisterFile] | None = None) -> Self: ...
    @overload
    def __get__(
        self, regs: RegisterFile, owner: type[RegisterFile] | None = None
    ) -> BoundRegister[R]: ...
    def __get__(
        self, regs: RegisterFile | None, owner: type[RegisterFile] | None = None
    ) -> Self | BoundRegister[R]:
        if regs is None:
            return self
        place = type(regs).places[self.name]
        bound = regs.bind(self.register, offset=place.offset, name=self.name)
        regs.__dict__[self.name] = bound  # from now on found there, without this call
        return bound

    def _place(self, owner: str, name: str) -> Place:
        offset = _offset(f"{owner}.{name}", self.register, self.offset)
        return Place(name, self.register, offset)


class RegArray(Generic[R]):
    """Declare ``count`` registers of one kind, each ``stride`` bytes after the one before.

    Arrays may interleave, as doorbells of NVMe do.  Where count or stride are known only at
    run time use :meth:`RegisterFile.bind_array`.
    """

    __slots__ = ("count", "name", "offset", "register", "stride")

    def __init__(
        self, register: type[R], *, count: int, stride: int, offset: int | None = None
    ) -> None:
        self.register = register
        self.count = count
        self.stride = stride
        self.offset = offset
        self.name = ""

    def __set_name__(self, owner: type[RegisterFile], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, regs: None, owner: type[RegisterFile] | None = None) -> Self: ...
    @overload
    def __get__(
        self, regs: RegisterFile, owner: type[RegisterFile] | None = None
    ) -> BoundRegArray[R]: ...
    def __get__(
        self, regs: RegisterFile | None, owner: type[RegisterFile] | None = None
    ) -> Self | BoundRegArray[R]:
        if regs is None:
            return self
        place = type(regs).places[self.name]
        bound = regs.bind_array(
            self.register,
            count=self.count,
            stride=self.stride,
            offset=place.offset,
            name=self.name,
        )
        regs.__dict__[self.name] = bound
        return bound

    def _place(self, owner: str, name: str) -> Place:
        where = f"{owner}.{name}"
        offset = _offset(where, self.register, self.offset)
        check_array(where, self.register.spec, self.count, self.stride)
        return Place(name, self.register, offset, self.count, self.stride, is_array=True)


class BoundRegArray(Generic[R]):
    """Registers of one kind in a region: ``len()``, iteration, ``array[index]``.

    An index outside raises OutOfBounds; negative ones do too.
    """

    __slots__ = (
        "_bound",
        "_check_gone",
        "_register",
        "_space",
        "count",
        "name",
        "offset",
        "stride",
    )

    def __init__(
        self,
        space: RegisterSpace,
        register: type[R],
        *,
        name: str,
        offset: int,
        count: int,
        stride: int,
        check_gone: bool = True,
    ) -> None:
        self._space = space
        self._register = register
        self._check_gone = check_gone
        self._bound: dict[int, BoundRegister[R]] = {}
        self.name = name
        self.offset = offset
        self.count = count
        self.stride = stride

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> BoundRegister[R]:
        bound = self._bound.get(index)
        if bound is None:
            if not 0 <= index < self.count:
                raise OutOfBounds(
                    f"{self.name}[{index}]: there are {self.count} registers",
                    region=self._space.name,
                    offset=self.offset + index * self.stride,
                    width=self._register.spec.size_bytes,
                    hint=f"Give an index of 0 to {self.count - 1}",
                )
            bound = self._bound[index] = BoundRegister(
                self._space,
                self._register,
                name=f"{self.name}[{index}]",
                offset=self.offset + index * self.stride,
                check_gone=self._check_gone,
            )
        return bound

    def __iter__(self) -> Iterator[BoundRegister[R]]:
        return (self[index] for index in range(self.count))


class RegisterFile:
    """The registers of a block, declared in the body of a subclass.

    ::

        class Registers(RegisterFile):
            cap = Reg(CAP)
            doorbell = RegArray(DBL, count=64, stride=4, offset=0x1000)

        regs = Registers(device.region(0))
        regs.cap.read().mqes

    ``region`` is a Region or anything that offers the accesses of RegisterSpace.  It is
    not owned.  ``gone_value=False`` switches off that a read of all ones raises DeviceGone
    in the registers that declare it.  No access is made here.  Registers that overlap raise
    DeclarationError when the class is made.
    """

    places: ClassVar[Mapping[str, Place]] = {}

    region: RegisterSpace

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "places" in vars(cls):
            raise DeclarationError(f"{cls.__name__}: the name 'places' is taken", hint="Rename it")
        places = dict(cls.places)
        for name, item in vars(cls).items():
            if isinstance(item, (Reg, RegArray)):
                if hasattr(RegisterFile, name) or name == "region":
                    raise DeclarationError(
                        f"{cls.__name__}: a register cannot be named {name!r}, the name is taken",
                        hint=f"Name it {name}_",
                    )
                places[name] = item._place(cls.__name__, name)
            elif name in places:
                raise DeclarationError(
                    f"{cls.__name__}.{name} hides the inherited register", hint="Rename it"
                )
        check_places(cls.__name__, places.values())
        cls.places = dict(sorted(places.items(), key=lambda item: item[1].offset))

    def __init__(self, region: RegisterSpace, *, gone_value: bool = True) -> None:
        self.region = region
        self._check_gone = gone_value

    def __setattr__(self, name: str, value: object) -> None:
        if name in type(self).places:
            raise RegisterError(
                f"{type(self).__name__}.{name} is a register and cannot be assigned",
                hint=f"To write to the device use {name}.write(...)",
            )
        super().__setattr__(name, value)

    def bind(
        self, register: type[R], *, offset: int | None = None, name: str | None = None
    ) -> BoundRegister[R]:
        """Return ``register`` at ``offset`` (else its own), for places known at run time."""
        name = name or register.__name__
        return BoundRegister(
            self.region,
            register,
            name=name,
            offset=_offset(name, register, offset),
            check_gone=self._check_gone,
        )

    def bind_array(
        self,
        register: type[R],
        *,
        count: int,
        stride: int,
        offset: int | None = None,
        name: str | None = None,
    ) -> BoundRegArray[R]:
        """Return an array of ``register`` whose count or stride (bytes) is known at run time."""
        name = name or register.__name__
        check_array(name, register.spec, count, stride)
        return BoundRegArray(
            self.region,
            register,
            name=name,
            offset=_offset(name, register, offset),
            count=count,
            stride=stride,
            check_gone=self._check_gone,
        )

    def dump(self, *, side_effects: bool = False) -> RegisterDump:
        """Read all registers that can be read, once each, and return their values.

        Registers whose reads have side effects are read only if ``side_effects`` says so;
        those that cannot be read are listed with the reason.
        """
        from pymmio.regs.dump import dump_registers

        return dump_registers(self, side_effects=side_effects)

    def _repr_html_(self) -> str:
        from pymmio.regs.html import file_html

        return file_html(self)


def check_array(where: str, spec: RegisterSpec, count: int, stride: int) -> None:
    """Raise DeclarationError unless ``count`` registers fit ``stride`` bytes apart."""
    if count < 1:
        raise DeclarationError(f"{where}: count={count}", hint="Give 1 or more")
    if stride < spec.size_bytes or stride % spec.size_bytes:
        raise DeclarationError(
            f"{where}: stride={stride} for registers of {spec.size_bytes} bytes",
            hint=f"Give a multiple of {spec.size_bytes}",
        )


def _offset(where: str, register: type[Register], offset: int | None) -> int:
    if not (isinstance(register, type) and issubclass(register, Register)):
        raise DeclarationError(f"{where}: {register!r} is no Register class", hint="Give a class")
    spec = register.spec
    place = spec.offset if offset is None else offset
    if place is None:
        raise DeclarationError(
            f"{where}: {spec.name} has no offset",
            hint="Give offset= to the class of the register, or here",
        )
    check_offset(where, place, spec.width)
    return place
