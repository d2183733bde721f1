"""What fuzz tests share: how many cases are drawn, and how files are damaged.

``VIDSEG_FUZZ`` is the number of cases of each test; with it they differ each time. ``VIDSEG_FUZZ_COUNTS`` names a file
for what became of them, which ``python -m tools.reliability fuzz`` reads.
"""

import atexit
import json
import os
import traceback
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidseg_ros.errors import UserError

SMALL = 40
CASES = int(os.environ.get("VIDSEG_FUZZ", SMALL))
COUNTS = {"cases": 0, "refused": 0}
UNCAUGHT = {}  # by where it was raised


def fuzz(share=1.0, **strategies):
    """Run a test on so many cases, or a ``share`` of them where each takes long."""

    def decorate(test):
        @wraps(test)
        def counted(*arguments, **values):
            COUNTS["cases"] += 1
            try:
                return test(*arguments, **values)
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                UNCAUGHT[f"{place.filename}:{place.lineno}"] = f"{type(error).__name__}: {error}"
                raise

        few = settings(
            max_examples=max(round(share * CASES), 1),
            deadline=None,
            derandomize="VIDSEG_FUZZ" not in os.environ,
            suppress_health_check=list(HealthCheck),
        )
        return few(given(**strategies)(counted))

    return decorate


@contextmanager
def refusing():
    """Whatever is refused inside is refused in one line."""
    try:
        yield
    except UserError as error:
        COUNTS["refused"] += 1
        assert str(error) and "\n" not in str(error), repr(str(error))


@st.composite
def damages(draw):
    """A function that damages bytes: cuts them, changes some, empties or doubles a part, or does nothing."""
    changes = draw(st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=4))
    hole = draw(st.none() | st.tuples(st.floats(0, 1), st.integers(1, 4000)))
    cut = draw(st.none() | st.floats(0, 1))
    tail = draw(st.binary(max_size=40))

    def damage(data):
        data = bytearray(data)
        for place, value in changes:
            start = int(place * len(data))
            data[start : start + len(value)] = value[: len(data) - start]
        if hole is not None:
            start = int(hole[0] * len(data))
            length = min(hole[1], len(data) - start)
            data[start : start + length] = bytes(length)
        if cut is not None:
            del data[int(cut * len(data)) :]
        return bytes(data) + tail

    return damage


NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([2**15, 2**31 - 1, 2**31, 2**63, -(2**63), 10**30]),
    st.floats(allow_nan=True, allow_infinity=True),
)
TEXTS = st.one_of(
    st.text(max_size=6), st.sampled_from(["", "L1b", "camvid", "cityscapes", "auto", "1e-3", "nan", "inf"])
)
SCALARS = st.one_of(NUMBERS, TEXTS, st.booleans(), st.none())
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def edits(draw):
    """A function that changes plain data: values replaced, keys removed or added, at a few places."""
    steps = draw(
        st.lists(
            st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.sampled_from("rra-"), PLAIN), max_size=3
        )
    )

    def edit(data):
        for path, kind, value in steps:
            _edit(data, path, kind, value)
        return data

    return edit


def _edit(data, path, kind, value):
    """Go down by the numbers of the path while that leads somewhere, and change what is there."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data)))
    if not keys:
        return
    key = keys[path[0] % len(keys)]
    if len(path) > 1 and isinstance(data[key], dict | list):
        _edit(data[key], path[1:], kind, value)
    elif kind == "-":
        del data[key]
    elif kind == "a" and isinstance(data, dict):
        data[str(value)[:8]] = value
    else:
        data[key] = value


def _write():
    about = COUNTS | {"uncaught": UNCAUGHT}
    Path(os.environ["VIDSEG_FUZZ_COUNTS"]).write_text(json.dumps(about, indent=1))


if "VIDSEG_FUZZ_COUNTS" in os.environ:
    atexit.register(_write)
