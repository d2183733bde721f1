"""What a user of the node says about optical flow, also on the command line, and what is wrong with it."""

import pytest
from rclpy.lifecycle import TransitionCallbackReturn

from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.flow.estimator import FlowConfig
from vidseg_ros.ros.harness.process import engine_parameters
from vidseg_ros.ros.parameters import Parameters, read_parameters


@pytest.mark.parametrize(("value", "expected"), [(-1, None), (0, False), (1, True)])
def test_warped_as_the_model_says_or_not(value, expected):
    config = Parameters(warped=value, flow="dis:fast").engine_config
    assert (config.warped, config.flow) == (expected, "dis:fast")


@pytest.mark.parametrize(
    "config", [EngineConfig(warped=False, memory="off"), EngineConfig(warped=True, flow="dis:medium", hysteresis=0.5)]
)
def test_the_command_line_of_a_node_says_what_runs_the_network(config, start):
    given = {name: value for name, value in engine_parameters(config).items() if value is not None}
    words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    node = start[0](activate=False, device=config.device, cli_args=["--ros-args", *words])
    assert read_parameters(node, Parameters).engine_config == config


def test_streams_of_the_node_estimate_the_flow_that_was_asked_for(start):
    node = start[0](activate=False, engine="torch", memory="flow", warped=1, flow="dis:medium")
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node._engine.flow == FlowConfig("medium")
    assert node._engine.inference.warped


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        ("dis:slow", "flow is 'dis:slow'; use auto, dis:ultrafast"),
        ("none.onnx", "cannot read flow network 'none.onnx'"),
    ],
)
def test_flow_that_is_not_there_is_said_in_a_line(flow, words, start):
    pytest.importorskip("onnxruntime")
    node = start[0](activate=False, engine="torch", memory="flow", flow=flow)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert words in node._problem and "\n" not in node._problem
