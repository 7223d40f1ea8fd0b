"""Models that no PCI function can be are refused, with the reason."""

from __future__ import annotations

import pytest

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.backend.model_rules import msix_table_size
from pymmio.errors import DeclarationError
from pymmio.testing import open_model


class Plain(DeviceModel):
    """Registers that are 0."""

    vendor_id = 0x1AF4
    device_id = 0x10F0
    class_code = 0xFF0000
    bars = (BarSpec(0, 4096),)

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        return 0

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        return

    def reset(self) -> None:
        return


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"vendor_id": 0x12345}, "vendor_id is 0x12345, which has more than 16 bits"),
        ({"revision_id": -1}, "revision_id is -0x1, which has more than 8 bits"),
        ({"class_code": None}, "class_code is None: set it to a number of 24 bits"),
        ({"bars": (BarSpec(0, 3000),)}, "BAR0 has 3000 bytes: it needs a power of two"),
        ({"bars": (BarSpec(1, 8),)}, "BAR1 has 8 bytes"),
        ({"bars": (BarSpec(6, 4096),)}, "there is no BAR6: BARs are 0 to 5"),
        ({"bars": (BarSpec(5, 4096),)}, "there is no BAR6: BAR5 has 64 bits"),
        ({"bars": (BarSpec(0, 4096), BarSpec(0, 4096))}, "two are BAR0"),
        ({"bars": (BarSpec(0, 4096), BarSpec(1, 4096))}, "BAR1 overlaps BAR0: BAR0 has 64 bits"),
        ({"bars": (BarSpec(1, 4096), BarSpec(0, 4096))}, "BAR0 overlaps BAR1: BAR0 has 64 bits"),
        ({"msi_vectors": 33}, "msi_vectors is 33: there are 32 at most"),
        ({"msix_vectors": 2049, "msix_bar": 0}, "msix_vectors is 2049: there are 2048 at most"),
        ({"msix_vectors": 1}, "msix_bar is None: name the BAR"),
        ({"msix_vectors": 1, "msix_bar": 2}, "msix_bar is 2: name the BAR"),
        ({"msix_vectors": 1, "msix_bar": 0, "msix_offset": 4}, "msix_offset is 0x4: it needs"),
        ({"msix_vectors": 256, "msix_bar": 0}, "end at 0x1020, BAR0 at 0x1000"),
    ],
)
def test_what_no_function_can_be_is_refused_by_name(wrong: dict[str, object], said: str) -> None:
    model = type("Wrong", (Plain,), wrong)()
    with pytest.raises(DeclarationError) as seen:
        open_model(model)
    assert str(seen.value).startswith("Wrong: ")
    assert said in str(seen.value)


def test_what_just_fits_is_served() -> None:
    limits = {
        "bars": (BarSpec(0, 64 << 10), BarSpec(2, 16, is_64bit=False), BarSpec(4, 16)),
        "msi_vectors": 32,
        "msix_vectors": 2048,
        "msix_bar": 0,
        "msix_offset": (64 << 10) - msix_table_size(2048),
    }
    with open_model(type("Full", (Plain,), limits)()) as device:
        assert device.region(4).size == 16
        assert len(device.irqs.msix) == 2048
