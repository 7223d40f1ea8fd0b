from __future__ import annotations

from pathlib import Path

from .roms import image

FILE = Path(__file__).parents[2] / "guest/roms/two_images.rom"


def test_the_file_that_qemu_gets_is_what_the_builder_makes():
    assert FILE.read_bytes() == image(last=False, units=2) + image(code_type=3, units=1)
