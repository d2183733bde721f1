"""What others send: no request and no message ends a node, and every request is answered."""

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

from test.ros.conftest import TIMEOUT
from vidseg_ros.ros.driving.driver import DriverNode
from vidseg_ros.ros.driving.evaluator import EvaluatorNode
from vidseg_ros.ros.executor import EnduringExecutor

INACTIVE, ACTIVE = State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE
UNCONFIGURED, FINALIZED = State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_FINALIZED
LEGAL = {
    UNCONFIGURED: {Transition.TRANSITION_CONFIGURE: INACTIVE, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: FINALIZED},
    INACTIVE: {Transition.TRANSITION_ACTIVATE: ACTIVE, Transition.TRANSITION_CLEANUP: UNCONFIGURED,
               Transition.TRANSITION_INACTIVE_SHUTDOWN: FINALIZED},
    ACTIVE: {Transition.TRANSITION_DEACTIVATE: INACTIVE, Transition.TRANSITION_ACTIVE_SHUTDOWN: FINALIZED},
    FINALIZED: {},
}  # fmt: skip
"""For each state: where the ids that it takes lead to."""
IDS = (*range(10), *range(10, 70, 10), 61, 62, 90, 97, 98, 99, 255)


@pytest.fixture
def ask():
    """Call a service and return its answer."""
    node = rclpy.create_node("asker")

    def call(kind, name, request):
        client = node.create_client(kind, name)
        assert client.wait_for_service(TIMEOUT)
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=TIMEOUT)
        node.destroy_client(client)
        assert future.done(), f"{name} does not answer"
        return future.result()

    yield call
    node.destroy_node()


def change_state(ask, number, label=""):
    request = ChangeState.Request(transition=Transition(id=number, label=label))
    return ask(ChangeState, "segmentation/change_state", request).success


def state(ask):
    return ask(GetState, "segmentation/get_state", GetState.Request()).current_state.id


PATHS = {UNCONFIGURED: [], INACTIVE: [1], ACTIVE: [1, 3], FINALIZED: [5]}


@pytest.mark.parametrize("where", PATHS)
def test_a_transition_that_is_not_for_this_state_is_no_success(start, ask, where):
    start[0](activate=False)
    assert all(change_state(ask, number) for number in PATHS[where])
    for number in IDS:
        if number not in LEGAL[where]:
            assert not change_state(ask, number)
            assert state(ask) == where
    assert not change_state(ask, 1, "konfigure")
    for number, goal in LEGAL[where].items():
        if goal != FINALIZED:
            assert change_state(ask, number)
            assert state(ask) == goal
            break


def test_parameters_of_no_type_are_answered(start, ask):
    start[0](activate=False)
    for value in (ParameterValue(type=77), ParameterValue(type=255), ParameterValue(type=3), ParameterValue()):
        for name in ("max_gap", "no_such", "", "use_sim_time", "qos_overrides./image"):
            answer = ask(SetParameters, "segmentation/set_parameters",
                         SetParameters.Request(parameters=[Parameter(name=name, value=value)]))  # fmt: skip
            assert not name or not any(result.successful for result in answer.results), (name, value)
    ask(ListParameters, "segmentation/list_parameters", ListParameters.Request(prefixes=["", ".."], depth=2**63))
    names = ["", "no_such", "max_gap"]
    ask(GetParameters, "segmentation/get_parameters", GetParameters.Request(names=names))
    ask(DescribeParameters, "segmentation/describe_parameters", DescribeParameters.Request(names=names))
    assert change_state(ask, Transition.TRANSITION_CONFIGURE)


def cut_short(kind):
    whole = bytes(serialize_message(kind()))
    yield from (whole[:length] for length in (0, 3, 4, 5, 12, len(whole) // 2, len(whole) - 1))
    yield from (b"\xff" * 64, whole[:16] + b"\xff" * 40)


def test_messages_that_are_none_end_no_node():
    executor, sender = EnduringExecutor(), rclpy.create_node("sender")
    nodes = [DriverNode(), EvaluatorNode()]
    for node in nodes:
        executor.add_node(node)
    topics = {"label": Image, "semantic": Image, "camera_info": CameraInfo, "odometry": Odometry}
    for topic, kind in topics.items():
        publisher = sender.create_publisher(kind, topic, 20)
        while not publisher.get_subscription_count():
            executor.spin_once(0.05)
        for data in cut_short(kind):
            publisher.publish(data)
            executor.spin_once(0.05)
        publisher.publish(kind())
    for _ in range(20):
        executor.spin_once(0.05)
    assert nodes[1].figures()["rejected"] >= 2  # the last of each topic came through
    assert all(executor.can_execute(subscription) for node in nodes for subscription in node.subscriptions)
    for node in (*nodes, sender):
        node.destroy_node()


def test_a_callback_that_raises_is_logged_and_the_next_one_is_called(capfd):
    executor, node = EnduringExecutor(), rclpy.create_node("faulty")
    calls = []
    node.create_timer(0.01, lambda: calls.append(1 / len(calls[1:])))
    executor.add_node(node)
    calls.append(0)
    for _ in range(3):
        executor.spin_once(1.0)
    assert "a callback of a timer failed: ZeroDivisionError: division by zero" in capfd.readouterr().err
    node.destroy_node()
