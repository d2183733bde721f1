"""One validator of numbers for all verbs: every one of them names the option, and says it in one line."""

import pytest

from vidseg_ros.cli.main import main
from vidseg_ros.errors import UserError
from vidseg_ros.schema import image_size, not_negative, positive, require_positive, whole

REPLAY = ("replay", "in", "--checkpoint", "c", "--output", "o")
PSEUDO = ("pseudo-label", "in", "--teacher", "c", "--output", "o")
OPTIONS = {
    REPLAY: {"--fps": "positive", "--frames": "whole", "--max-gap": "positive", "--workers": "whole",
             "--threads": "zero"},
    PSEUDO: {"--fps": "positive", "--confidence": "number", "--scales": "positive"},
    ("demo",): {"--rate": "positive", "--frames": "whole", "--loops": "whole", "--fps": "positive", "--seed": "zero"},
    ("evaluate", "c", "d"): {"--threads": "zero", "--hysteresis": "number"},
    ("benchmark",): {"--threads": "zero", "--frames": "whole", "--rate": "positive", "--rounds": "whole",
                     "--steps": "whole"},
    ("export", "c", "o", "--format", "onnx"): {"--hysteresis": "number"},
    ("simulate",): {"--seconds": "positive", "--seed": "zero", "--fps": "positive"},
    ("record-carla", "o"): {"--scenes": "whole", "--port": "whole", "--workers": "whole", "--fov": "positive"},
    ("spawn-carla", "--sensors", "s"): {"--vehicles": "zero", "--fixed-delta-seconds": "positive", "--seed": "zero"},
    ("train", "c", "o"): {"--workers": "zero"},
}  # fmt: skip
WRONG = {
    "positive": ["inf", "-inf", "nan", "0", "-1", "1e300", "ten", ""],
    "number": ["inf", "nan", "-1", "1e300", "ten"],
    "whole": ["inf", "nan", "0", "-1", "1.5", "9999999999", "ten", ""],
    "zero": ["inf", "nan", "-1", "1.5", "9999999999"],
}
CASES = [
    (command, option, value)
    for command, options in OPTIONS.items()
    for option, kind in options.items()
    for value in WRONG[kind]
]


@pytest.mark.parametrize(("command", "option", "value"), CASES)
def test_every_wrong_number_is_one_line(command, option, value, capsys):
    assert main([*command, f"{option}={value}"]) == 2
    error = capsys.readouterr().err
    assert f"{option.removeprefix('--')} is " in error and error.count("\n") == 1, error


@pytest.mark.parametrize("size", ["0x0", "640x0", "99999x480", "640x999999999", "1x1", "15x480"])
@pytest.mark.parametrize("command", [REPLAY, ("benchmark",), ("demo",), ("simulate",), ("record-carla", "o")])
def test_sizes_of_no_picture(command, size, capsys):
    least = 16 if command in (REPLAY, ("benchmark",)) else 1
    if min(map(int, size.split("x"))) >= least and len(size) < 8:
        return  # a camera may be so small
    option = "--sizes" if command == ("benchmark",) else "--size"
    assert main([*command, option, size]) == 2
    error = capsys.readouterr().err
    assert f"size is {size}; width and height must be at least {least} and at most 16384" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("evaluate",), ("replay", "--size", "big"), ("replay", "--nothing"), ("nothing",), ()]
)
def test_wrong_options_are_one_line(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    error = capsys.readouterr().err
    assert (caught.value.code, error.count("\n")) == (2, 1), error


def test_right_numbers():
    assert [positive("x")("0.5"), not_negative("x")("0"), whole("x")("7"), whole("x", 0)("0")] == [0.5, 0, 7, 0]
    assert [image_size("16x16"), image_size("16384x480")] == [(16, 16), (16384, 480)]
    require_positive(a=1, b=0.1)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_configurations_hold_no_such_numbers(value):
    with pytest.raises(UserError, match=f"key is {value}; it must be above 0"):
        require_positive(key=value)
