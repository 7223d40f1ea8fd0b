"""Groups that load commands when they are asked for."""

from __future__ import annotations

import sys
import types

import click
import pytest
from click.testing import CliRunner

from pymmio.cli.lazy import LazyGroup


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> LazyGroup:
    module = types.ModuleType("lazy_sample")
    module.hello = click.Command("hello", callback=lambda: click.echo("hi"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lazy_sample", module)
    group = LazyGroup(
        "sample", lazy={"hello": "lazy_sample:hello", "broken": "lazy_sample_missing:command"}
    )
    group.add_command(click.Command("also", callback=lambda: click.echo("eager")))
    return group


def test_runs_a_command_and_does_not_load_another(group: LazyGroup) -> None:
    result = CliRunner().invoke(group, ["hello"])
    assert (result.exit_code, result.output) == (0, "hi\n")


def test_commands_that_are_there_work_too(group: LazyGroup) -> None:
    assert CliRunner().invoke(group, ["also"]).output == "eager\n"


def test_keeps_the_declared_order(group: LazyGroup) -> None:
    assert group.list_commands(click.Context(group)) == ["hello", "broken", "also"]


def test_a_module_that_is_missing_raises_when_it_is_used(group: LazyGroup) -> None:
    assert isinstance(CliRunner().invoke(group, ["broken"]).exception, ModuleNotFoundError)


def test_names_the_commands_for_a_wrong_one(group: LazyGroup) -> None:
    result = CliRunner().invoke(group, ["hallo"])
    assert result.exit_code == 2
    assert "hello, broken, also" in result.output


def test_options_of_the_group_come_before_a_command(group: LazyGroup) -> None:
    result = CliRunner().invoke(group, ["--nope"])
    assert result.exit_code == 2
    assert "--nope" in result.output
