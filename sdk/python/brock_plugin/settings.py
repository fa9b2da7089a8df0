"""Settings: what the user writes, checked before the plugin sees it."""

import dataclasses
import json
import os
import re
import types

from .errors import Invalid


class Secret:
    """Text that is never shown: printed, it is "[secret]"."""

    def __init__(self, text):
        self._text = text

    def reveal(self):
        """Returns the text itself, for the one who needs it."""
        return self._text

    def __repr__(self):
        return "[secret]"

    def __bool__(self):
        return bool(self._text)

    __hash__ = None


@dataclasses.dataclass
class Setting:
    """Describes one setting. Its value arrives under its name as a str, bool,
    int, float, as a number of seconds for a "duration", or as whatever JSON
    gives for "json"; a secret one as a Secret. It is None if it is absent."""

    name: str
    doc: str
    type: str = "string"
    required: bool = False
    secret: bool = False
    default: str = ""
    env: str = ""  # environment variable that gives its value if it is absent
    example: str = ""

    def decode(self, given):
        """Returns the value of what was given, or of what stands in for it."""
        if given is None:
            given = os.environ.get(self.env) if self.env else None
            given = given or self.default or None
        eg = f', as in "{self.example}"' if self.example else ""
        if self.required and given in (None, ""):
            raise Invalid(f"setting {self.name}: required, but {'absent' if given is None else 'empty'}{eg}")
        if given is None:
            return None
        try:
            value = _DECODERS[self.type](given)
        except (ValueError, TypeError):
            shown = f"not the {self.type} that is wanted" if self.secret else f"{json.dumps(given)[:80]} is no {self.type}"
            raise Invalid(f"setting {self.name}: {shown}{eg}") from None
        return Secret(value) if self.secret else value


def decode(settings, given):
    """Returns the settings of a JSON object, as attributes of one value."""
    try:
        given = json.loads(given)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise Invalid("settings are no JSON object")
    names = [s.name for s in settings]
    for name in sorted(given):
        if name not in names:
            raise Invalid(f'unknown setting "{name}" (known: {", ".join(names)})')
    return types.SimpleNamespace(**{s.name: s.decode(given.get(s.name)) for s in settings})


def _string(v):
    if not isinstance(v, str):
        raise TypeError
    return v


def _bool(v):
    if isinstance(v, bool):
        return v
    if v in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if v in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError


def _number(of):
    def decode(v):
        if isinstance(v, bool) or not isinstance(v, (int, float, str)) or of is int and isinstance(v, float):
            raise TypeError
        if isinstance(v, str) and not re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", v, re.ASCII):
            raise ValueError
        return of(v)

    return decode


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"


def _duration(v):
    text = _string(v)
    if text == "0":
        return 0.0
    if not re.fullmatch(f"-?({_PART})+", text, re.ASCII):
        raise ValueError
    seconds = sum(float(n) * _UNITS[unit] for n, unit in re.findall(_PART, text, re.ASCII))
    return -seconds if text.startswith("-") else seconds


_DECODERS = {
    "string": _string,
    "bool": _bool,
    "int": _number(int),
    "float": _number(float),
    "duration": _duration,
    "json": lambda v: v,
}
