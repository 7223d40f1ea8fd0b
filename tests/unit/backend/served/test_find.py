"""Models by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from pymmio.backend.served import (
    MODEL_GROUP,
    find,
    make_model,
    make_served_model,
    model_names,
    served_models,
)
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


def test_what_is_its_own_handle_is_not_served() -> None:
    assert set(served_models()) == set(model_names()) - {"replay"}
    assert isinstance(make_served_model("edu", {}, asked="test"), EduModel)
    for name in ("replay", "toaster"):
        with pytest.raises(DeviceNotFound, match=f"no model '{name}' that can be served.*edu"):
            make_served_model(name, {}, asked="test")


def test_a_model_that_cannot_be_imported_is_no_matter_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = [
        EntryPoint("theirs", "no_such_module:Model", MODEL_GROUP),
        EntryPoint("edu", "pymmio.models.edu:EduModel", MODEL_GROUP),
    ]
    monkeypatch.setattr(find, "entry_points", lambda group: installed)
    assert list(served_models()) == ["edu"]
    with pytest.raises(DeviceNotFound, match="Models are edu"):
        make_served_model("toaster", {}, asked="test")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        make_served_model("theirs", {}, asked="test")
