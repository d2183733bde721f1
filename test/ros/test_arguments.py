"""What a user gives to a node on the command line, and asks of it while it does not work."""

import pytest
from std_srvs.srv import Trigger

from vidseg_ros.ros.driving import driver, evaluator
from vidseg_ros.ros.parameters import warn_of_unknown
from vidseg_ros.ros.segmentation import node as segmentation


@pytest.mark.parametrize(
    ("module", "parameter"),
    [(segmentation, "max_gap (0.5)"), (driver, "cruise ("), (evaluator, "carla_version ('0.9.16')")],
)
@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_names_the_parameters_and_starts_nothing(module, parameter, word, capsys):
    assert module.main(["node", word]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: ")
    assert parameter in said


def test_an_unknown_parameter_is_warned_of(start, capfd):
    words = ["modle:=x", "qos_overrides./image.subscription.depth:=2", "max_gap:=0.7"]
    node = start[0](activate=False, cli_args=["--ros-args", *(word for each in words for word in ("-p", each))])
    warn_of_unknown(node)
    said = capfd.readouterr().err
    assert said.count("WARN") == 1
    assert "unknown parameter 'modle' is ignored; did you mean 'model'?" in said


def test_qos_that_no_topic_takes_is_warned_of(start, capfd):
    """It was ignored without a word: a misspelt topic or policy, one before remapping, or one that cannot be set."""
    wrong = {
        "/image.subscription.reliability": "/front.subscription.reliability",
        "/front.subscription.relaibility": "/front.subscription.reliability",
        "/front.subscription.durability": "/front.subscription.reliability",
        "/segmentation/colour.publisher.depth": "/segmentation/color.publisher.depth",
    }
    given = {f"qos_overrides.{name}": "reliable" for name in wrong} | {"qos_overrides./front.subscription.depth": 3}
    start[0](**given, cli_args=["--ros-args", "-r", "image:=/front"])
    said = capfd.readouterr().err
    for name, nearest in wrong.items():
        assert f"parameter 'qos_overrides.{name}' is ignored; did you mean 'qos_overrides.{nearest}'?\n" in said
    assert said.count("is ignored") == len(wrong)


def test_reset_state_is_no_success_where_there_is_no_state(start):
    node = start[0](activate=False)

    def reset():
        answer = node._on_reset_state(Trigger.Request(), Trigger.Response())
        return answer.success, answer.message

    assert reset() == (False, "not configured")
    node.trigger_configure()
    assert reset() == (False, "not active: there is no past")
    node.trigger_activate()
    assert reset() == (True, "the past is forgotten")
    node.trigger_deactivate()
    assert not reset()[0]
    assert not any(camera.reset_requested for camera in node._cameras.values())
