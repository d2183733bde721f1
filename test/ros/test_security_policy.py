"""The policy of SROS 2 allows what the node does, and nothing else."""

from xml.etree import ElementTree

import pytest

OPTIONAL = {
    "/segmentation/label_info",
    "/clock",
    "/image/compressed",
}  # where vision_msgs is, in simulated time, as asked
EITHER = {"/segmentation/get_type_description"}  # of some versions of rclpy


@pytest.fixture
def policy(pytestconfig):
    """Topics and services by what is allowed, with their whole names."""
    root = ElementTree.parse(pytestconfig.rootpath / "config/security/policy.xml").getroot()
    (profile,) = root.iter("profile")
    own = profile.get("ns") + profile.get("node")
    return {
        f"{group.tag} {action}": {
            item.text.replace("~", own) if item.text[0] in "~/" else f"/{item.text}" for item in group
        }
        for group in profile
        for action in group.keys()  # noqa: SIM118
    }


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_the_policy_is_what_the_node_does(policy, start, transport):
    node = start[0](image_transport=transport)
    name, namespace = node.get_name(), node.get_namespace()
    published = {topic for topic, _ in node.get_publisher_names_and_types_by_node(name, namespace)}
    taken = {topic for topic, _ in node.get_subscriber_names_and_types_by_node(name, namespace)}
    served = {service for service, _ in node.get_service_names_and_types_by_node(name, namespace)}
    called = node.get_client_names_and_types_by_node(name, namespace)
    assert published <= policy["topics publish"] and policy["topics publish"] - published <= OPTIONAL
    assert taken <= policy["topics subscribe"] and policy["topics subscribe"] - taken <= OPTIONAL | {"/image"}
    assert served - EITHER == policy["services reply"] - EITHER
    assert called == [] and set(policy) == {"topics publish", "topics subscribe", "services reply"}
