"""What ROS tools read: package.xml, the launch file, the parameter file."""

import importlib
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict
from importlib.metadata import requires

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vidseg_ros import __version__


def test_package_xml_is_one_that_colcon_accepts(pytestconfig):
    root = ET.parse(pytestconfig.rootpath / "package.xml").getroot()
    assert (root.get("format"), root.findtext("name"), root.findtext("version")) == ("3", "vidseg_ros", __version__)
    assert root.findtext("export/build_type") == "ament_python"
    user, _, domain = root.find("maintainer").get("email").partition("@")
    assert user and "." in domain and len(domain.split(".")[-1]) > 1  # colcon ignores packages with a bad address


@pytest.mark.parametrize(
    ("file", "pattern"), [("setup.py", r'^    version="(.*?)"'), ("CITATION.cff", r"^version: (.*)$")]
)
def test_the_version_is_the_same_everywhere(pytestconfig, file, pattern):
    assert re.findall(pattern, (pytestconfig.rootpath / file).read_text(), re.MULTILINE) == [__version__]


def test_what_the_package_needs_is_pinned_with_hashes(pytestconfig):
    text = (pytestconfig.rootpath / "tools" / "requirements.txt").read_text().replace("\\\n", " ")
    pins = [line.split(" --hash=sha256:") for line in text.splitlines() if not re.match(r"\s*#", line)]
    assert all(hashes and all(re.fullmatch(r"[0-9a-f]{64}", value.strip()) for value in hashes) for _, *hashes in pins)
    pinned = {}
    for requirement, *_ in pins:
        (name, version) = re.fullmatch(r"(\S+)==(\S+)(?: ;.*)?", requirement.strip()).groups()
        pinned.setdefault(canonicalize_name(name), []).append(version)
    for needed in map(Requirement, requires("vidseg_ros")):
        if needed.name != "torch":  # installed by itself
            assert all(map(needed.specifier.contains, pinned[canonicalize_name(needed.name)])), needed


def test_wrappers_are_executable(pytestconfig):
    for name in ("segmentation_node", "driver_node", "evaluator_node", "vidseg"):
        wrapper = pytestconfig.rootpath / "resource" / name
        assert wrapper.stat().st_mode & 0o111
        assert wrapper.read_text().startswith("#!/usr/bin/env python3\n")


def test_parameter_file_holds_the_defaults(pytestconfig):
    pytest.importorskip("rclpy")
    parameters = importlib.import_module("vidseg_ros.ros.parameters")
    values = yaml.safe_load((pytestconfig.rootpath / "config" / "seg.yaml").read_text())["/**"]["ros__parameters"]
    assert values == asdict(parameters.Parameters())


def test_readme_lists_every_parameter(pytestconfig):
    pytest.importorskip("rclpy")
    parameters = importlib.import_module("vidseg_ros.ros.parameters")
    readme = (pytestconfig.rootpath / "README.md").read_text()
    for name, default in asdict(parameters.Parameters()).items():
        shown = default if isinstance(default, str) and default else json.dumps(default)
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"`{shown}`" in row
