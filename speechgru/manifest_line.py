"""Reading a line of a manifest that msgspec refuses: what is wrong with it, if anything is. A file
name may have bytes that are not UTF-8, escaped as surrogates.
"""

import json
import math
import re
from typing import Any, NoReturn

_TABLE = re.compile(rb"^[^{\[]*[^{\[,;|\t\r\n][,;|\t]")  # a line of a CSV file or the like
EXPECTED = "expected an object with audio_filepath, duration and text"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def read_line(raw: bytes, text_required: bool) -> dict[str, Any]:
    """The keys that are used. Raises ValueError with what is wrong."""
    values = _parsed(raw)
    name = values.get("audio_filepath")
    if not isinstance(name, str) or not name or "\0" in name:
        raise _wrong(values, "audio_filepath", "the path of an audio file")
    duration = _seconds(values, "duration")
    if duration <= 0:
        raise _wrong(values, "duration", "a number of seconds above 0")
    offset = None if values.get("offset") is None else _seconds(values, "offset")
    text = _string(values, "text")
    if text is None and text_required:
        raise _wrong(values, "text", "a string")
    names = {key: _string_or_integer(values, key) for key in ("speaker", "lang", "id")}
    if isinstance(names["id"], str) and not names["id"].strip():
        raise _wrong(values, "id", "a string that is not empty")
    return {"audio_filepath": name, "duration": duration, "text": text, "offset": offset, **names}


def _parsed(raw: bytes) -> dict[str, object]:
    """The object of a line. Raises ValueError with the reason."""
    try:
        values = _DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        raise ValueError(
            f"not UTF-8 (byte {byte:#04x} at {error.start}); save it as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        reason = error if isinstance(error, ValueError) else "nested too deeply"
        table = "; `speechgru init FOLDER` makes manifests of tables and other lists"
        hint = table if _TABLE.search(raw) else ""
        raise ValueError(f"not JSON ({reason}); {EXPECTED}{hint}") from None
    if not isinstance(values, dict):
        hint = ", one per line, without [ ] around them" if isinstance(values, list) else ""
        raise ValueError(f"{EXPECTED}{hint}; found {raw[:40].decode(errors='replace')!r}")
    return values


def _seconds(values: dict[str, object], key: str) -> float:
    value = values.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if math.isfinite(value) and value >= 0:
                return float(value)
        except OverflowError:  # an integer of hundreds of digits
            pass
    raise _wrong(values, key, "a number of seconds, 0 or more")


def _string_or_integer(values: dict[str, object], key: str) -> str | int | None:
    value = values.get(key)
    return value if type(value) is int else _string(values, key)


def _string(values: dict[str, object], key: str) -> str | None:
    value = values.get(key)
    try:
        if value is None or (isinstance(value, str) and value.encode() is not None):
            return value
    except UnicodeEncodeError:  # half a surrogate pair: JSON can escape one, UTF-8 cannot encode it
        pass
    raise _wrong(values, key, "a string of valid Unicode")


def _wrong(values: dict[str, object], key: str, expected: str) -> ValueError:
    if key in values and values[key] is None:
        return ValueError(f"{key!r} must be {expected}; found null")
    if key not in values:
        keys = ", ".join(map(repr, list(values)[:8])) or "no key"
        return ValueError(f"no {key!r}; found {keys}")
    return ValueError(f"{key!r} must be {expected}; found {values[key]!r:.60}")
