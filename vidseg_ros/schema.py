"""Typed configuration from plain data: frozen dataclasses, validated when made."""

from __future__ import annotations

import json
import math
import re
import reprlib
import types
import typing
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vidseg_ros.aliases import CONFIG_KEYS
from vidseg_ros.errors import UserError, describe

T = TypeVar("T")
N = TypeVar("N", int, float)

SHOWN = reprlib.Repr()  # of values in errors: text may nest, or name one list again and again, beyond any line
SHOWN.maxstring = SHOWN.maxother = SHOWN.maxlong = 200
SHOWN.maxlevel = 3

LARGEST = 1e9  # of numbers that a user gives
LARGEST_INTEGER = 2**63 - 1  # in a file: no float holds a much larger one, and Python does not print it
LARGEST_SIDE = 16384  # pixels of a picture
THREADS, WORKERS, PORTS = 1024, 1024, 65535  # at most


def require_one_of(key: str, value: object, allowed: Collection[object]) -> None:
    """Raise UserError unless ``value`` is in ``allowed``."""
    if value not in list(allowed):  # which need not be hashable
        raise UserError(f"{key} is {SHOWN.repr(value)}; use one of {', '.join(map(str, allowed))}")


def require_positive(**values: float) -> None:
    """Raise UserError for the first value that is not a number above zero; none is endless."""
    for key, value in values.items():
        if not 0 < value < math.inf:
            raise UserError(f"{key} is {value}; it must be above 0" + (" and finite" if value > 0 else ""))


def positive(key: str, most: float = LARGEST) -> Callable[[str], float]:
    """A type for argparse: a number above 0 that is not more than ``most``. Raises UserError, which names ``key``."""
    return _number(key, float, lambda value: 0 < value <= most, f"above 0 and at most {most:g}")


def not_negative(key: str, most: float = LARGEST) -> Callable[[str], float]:
    """A type for argparse: a number from 0 to ``most``. Raises UserError, which names ``key``."""
    return _number(key, float, lambda value: 0 <= value <= most, f"from 0 to {most:g}")


def whole(key: str, least: int = 1, most: int = int(LARGEST)) -> Callable[[str], int]:
    """A type for argparse: a whole number from ``least`` to ``most``. Raises UserError, which names ``key``."""
    words = "above 0" if least == 1 else f"{least} or more"
    return _number(key, int, lambda value: least <= value <= most, f"{words} and at most {most}")


def _number(key: str, kind: Callable[[str], N], fits: Callable[[N], bool], words: str) -> Callable[[str], N]:
    def read(text: str) -> N:
        try:
            value = kind(text)
        except ValueError as error:
            raise UserError(f"{key} is '{text}'; give a {'whole ' if kind is int else ''}number {words}") from error
        if not fits(value):  # NaN fits nothing
            raise UserError(f"{key} is {value}; it must be {words}")
        return value

    return read


def image_size(text: str, least: int = 16) -> tuple[int, int]:
    """A type for argparse: WIDTHxHEIGHT of what a network takes.

    Raises ArgumentTypeError for what is none, and UserError for sides below ``least`` or above LARGEST_SIDE.
    """
    sides = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text)
    if sides is None:
        raise ArgumentTypeError(f"'{text}' is no size; write it like 640x480")
    width, height = int(sides[1]), int(sides[2])
    if not all(least <= side <= LARGEST_SIDE for side in (width, height)):
        raise UserError(f"size is {text}; width and height must be at least {least} and at most {LARGEST_SIDE}")
    return width, height


def camera_size(text: str) -> tuple[int, int]:
    """A type for argparse: WIDTHxHEIGHT of a camera, as ``image_size``, but of any pixels."""
    return image_size(text, least=1)


def require_not_negative(**values: float) -> None:
    """Raise UserError for the first value that is not a number from zero on; none is endless."""
    for key, value in values.items():
        if not 0 <= value < math.inf:
            raise UserError(f"{key} is {value}; it must " + ("be finite" if value > 0 else "not be negative"))


def require_range(least: float, most: float, **values: float) -> None:
    """Raise UserError for the first value that is not from ``least`` to ``most``."""
    for key, value in values.items():
        if not least <= value <= most:
            raise UserError(f"{key} is {value}; it must be from {least:g} to {most:g}")


def require_finite(**values: float) -> None:
    """Raise UserError for the first value that is infinite or no number."""
    for key, value in values.items():
        if not math.isfinite(value):
            raise UserError(f"{key} is {value}; give a finite number")


class Loader(yaml.SafeLoader):
    """Reads ``1e-3`` as a number, as YAML 1.2 does; by PyYAML it is text."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"), list("+-.0123456789")
)


def parse_yaml(text: str) -> Any:
    """Plain data of YAML. Raises ValueError, and nothing else, for text that is none."""
    return _parse(partial(yaml.load, Loader=Loader), text)


def parse_json(text: str | bytes) -> Any:
    """Plain data of JSON. Raises ValueError, and nothing else, for text that is none."""
    return _parse(json.loads, text)


def _parse(read: Callable[[Any], Any], text: str | bytes) -> Any:
    try:
        return read(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except Exception as error:  # PyYAML raises whatever comes up while it makes numbers and dates
        raise ValueError(describe(error)) from error


def load_yaml(path: Path, cls: type[T]) -> T:
    """Read a ``cls`` from a YAML file."""
    try:
        data = parse_yaml(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read config '{path}': {error.strerror}; name a readable YAML file") from error
    except ValueError as error:
        raise UserError(f"config '{path}' is not valid YAML: {error}") from error
    return from_dict(cls, data or {})


@dataclass(frozen=True)
class Union:
    """Dataclasses of which the field ``tag`` picks one, by its default in each member."""

    tag: str
    default: type[Any]
    members: Mapping[str, type[Any]]


UNIONS: dict[type[Any], Union] = {}
"""What ``from_dict`` builds in place of a base class."""


def tagged_union(base: type[Any], tag: str, default: type[Any], members: Iterable[type[Any]]) -> None:
    """Let ``from_dict`` build that one of the ``members`` of ``base`` whose default for ``tag`` the data names."""
    UNIONS[base] = Union(tag, default, {getattr(member, tag): member for member in members})


def _member(base: type[Any], data: Mapping[str, Any], where: str) -> type[Any]:
    """The member of a union that the data is of. Raises UserError, also for fields of another member."""
    union = UNIONS[base]
    name = data.get(union.tag, getattr(union.default, union.tag))
    require_one_of(f"{where}{union.tag}", name, union.members)
    member = union.members[name]
    known = {item.name for item in fields(member)}
    for key in data:
        owners = [other for other, cls in union.members.items() if key in {item.name for item in fields(cls)}]
        if key not in known and owners:
            raise UserError(f"'{where}{key}' is a field of {', '.join(owners)}, not of {name}; take it out")
    return member


def from_dict(cls: type[T], data: object, where: str = "") -> T:
    """Build the dataclass ``cls`` from plain data as JSON and YAML have it; ``where`` names it in errors.

    Keys of earlier versions are taken, too (``aliases``). Raises UserError for a key that does not exist (naming the
    nearest one) or a value of another type.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where or cls.__name__} is {SHOWN.repr(data)}; expected keys and values")
    aliases = CONFIG_KEYS.get(cls.__name__, {})
    data = {aliases.get(str(key), str(key)): value for key, value in data.items()}
    if cls in UNIONS:
        cls = _member(cls, data, where)
    hints = typing.get_type_hints(cls)
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            nearest = get_close_matches(str(key), known, 1) or known
            raise UserError(f"unknown key '{where}{key}'; did you mean '{where}{nearest[0]}'?")
    for item in fields(cls):  # type: ignore[arg-type]
        if item.name not in data and item.default is MISSING and item.default_factory is MISSING:
            raise UserError(f"{where}{item.name} is missing in {where.rstrip('.') or cls.__name__}; give it a value")
    return cls(**{key: _convert(hints[key], value, f"{where}{key}") for key, value in data.items()})


def _convert(kind: Any, value: object, where: str) -> Any:
    """Check ``value`` against the type ``kind``; make dataclasses of dicts, tuples of lists and floats of ints."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = next(k for k in typing.get_args(kind) if k is not type(None))
        return None if value is None else _convert(inner, value, where)
    if is_dataclass(kind):
        return from_dict(typing.cast("type[Any]", kind), value, f"{where}.")
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        return _convert_tuple(typing.get_args(kind), value, where)
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise UserError(f"{where} has more than {LARGEST_INTEGER.bit_length()} bits; give a smaller number")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = typing.get_origin(kind) or kind
    if plain is tuple:
        raise UserError(f"{where} is {SHOWN.repr(value)}; expected a list")
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise UserError(f"{where} is {SHOWN.repr(value)}; expected {getattr(kind, '__name__', kind)}")
    return value


def _convert_tuple(kinds: tuple[Any, ...], value: Collection[object], where: str) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise UserError(f"{where} has {len(value)} values; expected {len(kinds)}")
    return tuple(_convert(kind, item, where) for kind, item in zip(kinds, value, strict=True))
