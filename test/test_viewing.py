"""The layouts of RViz and Foxglove name topics that the node has and replays record."""

import json
from pathlib import Path

import yaml

from vidseg_ros.replay.outputs import NODES, OUTPUTS

CONFIG = Path(__file__).parents[1] / "config"
TOPICS = {f"/{NODES[0]}/{name}" for name in OUTPUTS}


def test_rviz_shows_the_recorded_topics():
    layout = yaml.safe_load((CONFIG / "vidseg.rviz").read_text())
    displays = layout["Visualization Manager"]["Displays"]
    assert {display["Topic"]["Value"] for display in displays} == TOPICS
    assert {display["Topic"]["Reliability Policy"] for display in displays} == {"Reliable"}
    assert all(display["Name"] in layout["Window Geometry"] for display in displays)


def panels(layout):
    if isinstance(layout, str):
        return [layout]
    return [*panels(layout["first"]), *panels(layout["second"])]


def test_foxglove_shows_the_recorded_topics():
    layout = json.loads((CONFIG / "foxglove.json").read_text())
    assert sorted(panels(layout["layout"])) == sorted(layout["configById"])
    images = [panel["imageMode"]["imageTopic"] for panel in layout["configById"].values() if "imageMode" in panel]
    assert set(images) == TOPICS
    assert layout["configById"]["DiagnosticSummary!node"]["topicToRender"] == "/diagnostics"
