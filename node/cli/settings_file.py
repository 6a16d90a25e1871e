"""The TOML file of `--config`: its keys are the names of the options, without the dashes."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from node.errors import ConfigError


def read_settings(path: Path, options: Sequence[click.Option]) -> dict[str, Any]:
    """Values for click's `default_map`; click checks them further as if typed in.

    Raises:
        ConfigError: the file can't be read, is not TOML, names an unknown option, or gives a
            value of another type than its option takes.
    """
    try:
        with path.open("rb") as file:
            settings = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"can't read configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"configuration file {path} is not TOML: {error}") from error
    by_name = {option.opts[0].removeprefix("--"): option for option in options}
    if unknown := sorted(set(settings) - set(by_name)):
        raise ConfigError(
            f"configuration file {path} sets {', '.join(unknown)}, which no option is called; "
            f"it may set {', '.join(sorted(by_name))}"
        )
    for name, value in settings.items():
        _check_type(path, name, value, by_name[name])
    return {str(by_name[name].name): value for name, value in settings.items()}


def _check_type(path: Path, name: str, value: Any, option: click.Option) -> None:
    """Refuse what click would quietly convert, such as 1.5 workers or a text for a list."""
    if option.multiple:
        fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        kind = "a list of texts"
    elif option.is_flag:
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(option.type, click.IntRange):
        fits, kind = type(value) is int, "an integer"
    else:
        fits, kind = isinstance(value, str), "a text"
    if not fits:
        raise ConfigError(f"configuration file {path}: {name} takes {kind}, not {value!r}")
