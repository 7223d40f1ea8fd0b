"""Models by name."""

from __future__ import annotations

import pytest

from pymmio.backend.served import make_model, model_names
from pymmio.errors import DeviceNotFound, UriError
from pymmio.models.edu import EduModel


def test_the_models_of_the_package_are_found() -> None:
    assert {"access-recorder", "edu", "nvme"} <= set(model_names())
    model = make_model("edu", {"busy_reads": "2"}, asked="test")
    assert isinstance(model, EduModel)
    assert model.busy_reads == 2


def test_unknown_names_and_options_say_what_there_is() -> None:
    with pytest.raises(DeviceNotFound, match=r"no device model 'toaster'.*edu"):
        make_model("toaster", {}, asked="test")
    with pytest.raises(UriError, match="model edu has no option 'heat'"):
        make_model("edu", {"heat": "1"}, asked="test")
