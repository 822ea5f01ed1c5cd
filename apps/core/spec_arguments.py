"""Command-line arguments made from Specs: --learning-rate for `learning_rate`, read by the same form as pages and JSON."""

import argparse
import typing
from dataclasses import MISSING, fields
from typing import Any

from apps.core.spec_forms import spec_from_json
from workers.engine.specs.base import Option, Spec


def add_spec_arguments(parser: argparse.ArgumentParser, spec_class: type[Spec]) -> None:
    """One argument for each option; what is left out takes the Spec's default."""
    group = parser.add_argument_group(spec_class.TITLE or "options", spec_class.__doc__)
    hints = typing.get_type_hints(spec_class)
    defaults = {f.name: f.default for f in fields(spec_class)}
    for name, option in spec_class.options().items():
        flag = f"--{name.replace('_', '-')}"
        words = _help(option, defaults[name]).replace("%", "%%")
        if hints[name] is bool:
            group.add_argument(flag, dest=name, help=words, action=argparse.BooleanOptionalAction)
        else:
            word = option.unit.upper() or "VALUE"
            is_several = typing.get_origin(hints[name]) is tuple
            group.add_argument(flag, dest=name, help=words, metavar=f"{word},…" if is_several else word)


def _help(option: Option, default: Any) -> str:
    words = [option.help]
    if option.choices:
        words.append(f"One of: {', '.join(value for value, _ in option.choices)}.")
    if default is MISSING:
        words.append("Needed.")
    elif default not in ("", None, ()):
        words.append(f"Default: {f'{default:g}' if isinstance(default, float) else default}.")
    return " ".join(words)


def spec_from_arguments(spec_class: type[Spec], options: dict[str, Any]) -> Any:
    """The Spec from a command's options. AppError "spec_invalid" with the words of page and API."""
    given = {name: options[name] for name in spec_class.options() if options.get(name) is not None}
    return spec_from_json(spec_class, given)
