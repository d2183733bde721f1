"""Arguments of verbs: taken, or refused in one line with exit code 2."""

from importlib import import_module

import pytest
from hypothesis import strategies as st

from test.fuzz.drawing import COUNTS, TEXTS, fuzz
from vidseg_ros.cli.main import VERBS, main

WORDS = st.one_of(
    TEXTS,
    st.sampled_from(
        ["--", "-", "--help", "-1", "0", "1e309", "640x480", "0x0", "9" * 40, "a,b", ",", "torch,", "hf:x"]
    ),
)


@pytest.fixture(scope="module")
def verbs():
    """Verbs that do nothing once their arguments are read, and the names of their options."""
    options = {}
    with pytest.MonkeyPatch.context() as patch:
        for verb in VERBS:
            module = import_module(f"vidseg_ros.cli.{verb.replace('-', '_')}")
            patch.setattr(module, "main", lambda options: None)
            options[verb] = [word for word in module.EXAMPLE.split() if word.startswith("--")] + named(module)
        yield options


def named(module):
    """The options that a verb declares."""
    from argparse import ArgumentParser  # noqa: PLC0415

    parser = ArgumentParser()
    module.add_arguments(parser)
    return [option for action in parser._actions for option in action.option_strings]


@fuzz(share=4.0, verb=st.sampled_from(sorted(VERBS)), words=st.lists(st.integers(0, 40) | WORDS, max_size=7))
def test_any_arguments(verbs, capsys, verb, words):
    options = verbs[verb]
    arguments = [options[word % len(options)] if isinstance(word, int) else word for word in words]
    try:
        status = main([verb, *arguments])
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr()
    assert status in (0, 2)
    COUNTS["refused"] += status == 2
    assert status == 0 or said.err.count("\n") == 1, said.err
