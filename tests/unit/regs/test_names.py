from __future__ import annotations

from pymmio.regs.names import unknown_name


def test_the_error_guesses_and_lists():
    error = unknown_name("CC", "enn", ["en", "css"])
    assert str(error) == "CC has no field 'enn'. Did you mean 'en'? Declared fields: en, css"


def test_the_error_guesses_nothing_that_is_far_off():
    assert str(unknown_name("CC", "xyz", ["en"])) == "CC has no field 'xyz'. Declared fields: en"
    assert str(unknown_name("CC", "xyz", [])) == "CC has no field 'xyz'. Declared fields: none"
