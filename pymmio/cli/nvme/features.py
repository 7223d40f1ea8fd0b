"""``pymmio nvme features``: settings of a controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pymmio.cli.complete import complete_from
from pymmio.cli.nvme.common import NamespaceCommand, open_controller
from pymmio.cli.options import Target, ask, require_yes, yes_option
from pymmio.cli.sizes import parse_number

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pymmio_drivers.nvme import Feature

__all__ = ["features"]


def feature_id(text: str) -> int:
    """Convert a feature's number or name, ``volatile-write-cache``."""
    from pymmio_drivers.nvme.command import FeatureId

    try:
        number = parse_number(text)
    except ValueError:
        name = text.upper().replace("-", "_")
        if name not in FeatureId.__members__:
            raise click.BadParameter(
                f"{text!r} is no feature; write 0x06 or {', '.join(_feature_names())}"
            ) from None
        return int(FeatureId[name])
    if number > 0xFF:
        raise click.BadParameter(f"{text!r} is more than 0xff")
    return number


def setting(text: str) -> tuple[int, int]:
    """Convert ``FID=VALUE``."""
    name, _, value = text.partition("=")
    try:
        number = parse_number(value)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no FID=VALUE, such as 0x06=1") from None
    return feature_id(name), number


def _feature_names() -> list[str]:
    from pymmio_drivers.nvme.command import FeatureId

    return [one.name.lower().replace("_", "-") for one in FeatureId]


def _complete_fid(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return complete_from(_feature_names(), incomplete)


def _complete_setting(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return complete_from([f"{name}=" for name in _feature_names()], incomplete)


@click.command(
    cls=NamespaceCommand,
    short_help="Settings: show all, look at one, change one.",
    epilog="""\b
Examples:
  pymmio nvme features sim:nvme
  pymmio nvme features sim:nvme --get volatile-write-cache
  pymmio nvme features sim:nvme --set volatile-write-cache=0
  pymmio nvme features vfio:0000:01:00.0 --set 0x04=0x15d --save --yes
""",
)
@click.option(
    "--get",
    "fid",
    type=feature_id,
    metavar="FID",
    shell_complete=_complete_fid,
    help="One feature, with what its fields mean; a number or a name.",
)
@click.option(
    "--set",
    "wanted",
    type=setting,
    metavar="FID=VALUE",
    shell_complete=_complete_setting,
    help="Change a feature; asks before.",
)
@click.option("--save", is_flag=True, help="With --set: also for after the next reset.")
@yes_option
def features(
    target: Target,
    nsid: int,
    fid: int | None,
    wanted: tuple[int, int] | None,
    save: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show the features of the NVMe controller URI, or change one.

    A change without --save ends with the next reset of the controller, which is when the next
    command opens it: it shows whether the controller takes the value. Features of a namespace are
    those of --namespace.
    """
    if fid is not None and wanted is not None:
        raise click.UsageError("give --get or --set, not both")
    if save and wanted is None:
        raise click.UsageError("--save belongs to --set")
    if wanted is not None:
        _set(target, nsid, wanted, save=save, yes=yes, as_json=as_json)
    elif fid is not None:
        _show_one(target, nsid, fid, as_json=as_json)
    else:
        _show_all(target, nsid, as_json=as_json)


def _show_all(target: Target, nsid: int, *, as_json: bool) -> None:
    from pymmio.cli.output import print_json, show_table
    from pymmio_drivers.nvme import read_features

    with open_controller(target) as controller:
        tells = bool(controller.identity.oncs_save_select)
        found = read_features(controller.admin, nsid=nsid, tells=tells)
    if as_json:
        print_json({"uri": target.uri, "nsid": nsid, "features": list(found)})
        return
    rows = [(f"{one.fid:02x}", one.name, _value(one), _fields(one), _may(one)) for one in found]
    show_table(
        ("id", "feature", "value", "fields", "may"),
        rows,
        right=("value",),
        fold=("feature", "fields", "may"),
    )


def _show_one(target: Target, nsid: int, fid: int, *, as_json: bool) -> None:
    from pymmio_drivers.nvme import read_feature

    with open_controller(target) as controller:
        tells = bool(controller.identity.oncs_save_select)
        found = read_feature(controller.admin, fid, nsid=nsid, tells=tells)
    _tell(target, found, as_json=as_json)


def _set(
    target: Target, nsid: int, wanted: tuple[int, int], *, save: bool, yes: bool, as_json: bool
) -> None:
    from pymmio_drivers.nvme import Feature, set_feature

    fid, value = wanted
    what = f"this sets {Feature(fid, None).name} to {value:#x}" + (" for good" if save else "")
    is_asked = require_yes(yes, target, what)
    with open_controller(target) as controller:
        if is_asked:
            ask(f"{controller.identity.mn} {controller.identity.sn}: {what}.")
        found = set_feature(controller.admin, fid, value, save=save, nsid=nsid)
    _tell(target, found, as_json=as_json)


def _tell(target: Target, one: Feature, *, as_json: bool) -> None:
    """Print one feature with its fields and what they mean."""
    from pymmio.cli.output import print_json, show_facts

    if as_json:
        print_json({"uri": target.uri, **one.as_dict()})
        return
    facts = [("value", _value(one))]
    decoded = one.decoded
    if decoded is not None:
        for name, field in decoded.spec.fields.items():
            number = int(decoded.fields()[name])
            facts.append((name, f"{number}  ({field.doc})" if field.doc else f"{number}"))
    if one.changeable is not None:
        facts.append(("may", _may(one)))
    show_facts(facts, title=f"{one.name} of {target.uri}")


def _value(one: Feature) -> str:
    return one.error if one.value is None else f"{one.value:#x}"


def _fields(one: Feature) -> str:
    decoded = one.decoded
    if decoded is None:
        return ""
    return " ".join(f"{name}={int(value)}" for name, value in decoded.fields().items())


def _may(one: Feature) -> str:
    """Say what may be done with a feature, as far as the controller tells."""
    if one.changeable is None:
        return ""
    words = [word for word, holds in (("set", one.changeable), ("save", one.saveable)) if holds]
    return (", ".join(words) or "only read") + (" per namespace" if one.per_namespace else "")
