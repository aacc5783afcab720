"""The check of a configuration against its schema, with messages that name the key."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from slams.consistency import faults as inconsistencies
from slams.errors import ConfigError
from slams.experiment import (
    Config,
    cells,
    expand_paths,
    periods,
    shape,
    step_hours,
    times,
    value_text,
    years,
)

__all__ = [
    "cells",
    "check",
    "expand_paths",
    "load",
    "merge",
    "periods",
    "shape",
    "step_hours",
    "times",
    "value_text",
    "years",
]

Schema = Mapping[str, Any]

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a section of keys",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "{} characters or more",
    "minItems": "{} entries or more",
    "maxItems": "{} entries or fewer",
    "pattern": "of the form {}",
}


def check(config: Config, schema: Schema | Path | str) -> None:
    """Check a whole configuration: first each key by itself, then the keys together.

    `schema` is a JSON schema or the path of one in YAML. Raises ConfigError with every fault
    found; files are looked for, none is read.
    """
    rules = schema if isinstance(schema, Mapping) else load(Path(schema))
    faults = list(_schema_faults(_plain(config), rules)) or inconsistencies(config)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        lines = "".join(f"\n  config key {fault}" for fault in faults)
        raise ConfigError(f"the configuration has {count}:{lines}")


def load(path: Path) -> dict[str, Any]:
    """The keys of a YAML file. Raises ConfigError where it is none."""
    try:
        loaded = yaml.load(
            path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error})") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: holds no keys")
    return loaded


def merge(base: Config, *others: Config) -> dict[str, Any]:
    """The configurations merged key by key, as Snakemake does: later ones win, lists whole."""
    merged = dict(base)
    for other in others:
        for key, value in other.items():
            old = merged.get(key)
            if isinstance(old, Mapping) and isinstance(value, Mapping):
                merged[key] = merge(old, value)
            else:
                merged[key] = value
    return merged


def _plain(value: Any) -> Any:
    """The value with YAML's dates as text, which is all that a JSON schema knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _is_integer(_: object, value: object) -> bool:
    """A whole number written as one: 16, not 16.0, which no range() takes."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: object, value: object) -> bool:
    """A finite number; YAML's .nan and .inf are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


def _schema_faults(config: Any, schema: Schema) -> Iterator[str]:
    """One fault a key, in the order of the keys' names."""
    errors = sorted(_Validator(schema).iter_errors(config), key=lambda error: _key(error.path))
    told: set[str] = set()
    for error in errors:
        for fault in _faults(error, schema):
            if fault not in told:
                told.add(fault)
                yield fault


def _faults(error: ValidationError, schema: Schema) -> Iterator[str]:
    key = _key(error.path)
    properties = error.schema.get("properties", {})
    if error.validator == "additionalProperties":
        for unknown in (name for name in error.instance if name not in properties):
            yield _unknown(_join(key, unknown), unknown, list(properties), schema)
    elif error.validator == "required":
        for name in (name for name in error.validator_value if name not in error.instance):
            meaning = _resolve(properties[name], schema).get("description")
            yield f"{_join(key, name)} is missing" + (f" ({meaning})" if meaning else "")
    else:
        meaning = error.schema.get("description")
        yield (
            f"{key or 'configuration'} is {_show(error.instance)}: must be "
            + _allowed(error.schema)
            + (f" ({meaning})" if meaning else "")
            + _hint(error)
        )


def _unknown(key: str, name: str, siblings: Sequence[str], schema: Schema) -> str:
    """An unknown key with the nearest known one: beside it first, then anywhere."""
    near = get_close_matches(name, siblings, n=1)
    if near:
        parent = key.removesuffix(name)
        return f"{key} is unknown; did you mean {parent}{near[0]}?"
    known = list(_known(schema, schema))
    leaves = {path.rsplit(".", 1)[-1]: path for path in reversed(known)}
    close = get_close_matches(key, known, n=1) or [
        leaves[leaf] for leaf in get_close_matches(name, list(leaves), n=1)
    ]
    if close:
        return f"{key} is unknown; did you mean {close[0]}?"
    return f"{key} is unknown; known here: {', '.join(siblings)}"


def _known(node: Schema, schema: Schema, prefix: str = "") -> Iterator[str]:
    """The dotted name of every key that the schema knows."""
    for name, child in node.get("properties", {}).items():
        key = _join(prefix, name)
        yield key
        yield from _known(_resolve(child, schema), schema, key)


def _resolve(node: Schema, schema: Schema) -> Schema:
    """The node itself, or the definition that it refers to."""
    reference = node.get("$ref")
    return node if reference is None else schema["$defs"][reference.removeprefix("#/$defs/")]


def _allowed(node: Schema) -> str:
    """What a value may be, in words."""
    if "anyOf" in node:
        return ", or ".join(_allowed(choice) for choice in node["anyOf"])
    if "enum" in node:
        # As YAML writes them: false, not False.
        return "one of " + ", ".join(
            str(value) if isinstance(value, str) else json.dumps(value) for value in node["enum"]
        )
    types = node.get("type", [])
    names = [_TYPES[name] for name in ([types] if isinstance(types, str) else types)]
    parts = [" or ".join(names)]
    parts += [text.format(node[name]) for name, text in _BOUNDS.items() if name in node]
    if node.get("uniqueItems"):
        parts.append("each entry once")
    return ", ".join(parts)


def _hint(error: ValidationError) -> str:
    """The remedy for YAML's own trap: 2e-4 without a point is text; and for the command line's."""
    text = error.instance
    if error.validator != "type" or not isinstance(text, str):
        return ""
    try:
        number = float(text)
    except ValueError:
        return ""
    if isinstance(yaml.safe_load(text), int | float):  # no file has made it text, but for quotes
        return (
            "; it came as text: leave out the quotes, and give what stands within braces or "
            "brackets in a file after --configfile, not after --config"
        )
    return f"; YAML reads {text} as text, write {number!r}".replace("e-0", "e-")


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _join(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name


def _key(path: Sequence[str | int]) -> str:
    """The dotted name of a place: arms[2].space."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
