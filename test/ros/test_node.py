"""The node over DDS, with a client in a node of its own."""

import time

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger

from test.conftest import CPU
from test.ros.conftest import header, picture
from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.engines import TorchEngine
from vidseg_ros.labels import CAMVID
from vidseg_ros.ros.transport import LARGE_PROFILE, find_profile
from vidseg_ros.stream import FrameStream, StreamConfig


def pixels(message):
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, -1).squeeze()


def expected_labels(checkpoint_file, frames):
    stream = FrameStream(TorchEngine(load_checkpoint(checkpoint_file), CPU), StreamConfig(max_gap=1e9))
    return [stream.step(rgb, i * 10**9) for i, rgb in enumerate(frames)]


def test_labels_are_those_of_the_stream_with_the_header_of_the_input(start, checkpoint_file):
    start_node, start_client = start
    start_node()
    client = start_client()
    frames = [picture(seed=i) for i in range(4)]
    for i, (rgb, labels) in enumerate(zip(frames, expected_labels(checkpoint_file, frames), strict=True)):
        answer = client.ask(7 + i / 15 + 1e-9, rgb)
        assert answer.header == header(7 + i / 15 + 1e-9)
        assert (answer.height, answer.width, answer.encoding, answer.step) == (48, 64, "mono8", 64)
        np.testing.assert_array_equal(pixels(answer), labels)


def test_all_outputs_agree(start):
    start_node, start_client = start
    start_node(overlay_opacity=0.25)
    client = start_client(outputs=("label", "color", "overlay", "confidence"))
    rgb = picture()
    client.ask(1.0, rgb, output="confidence")
    client.wait(lambda: all(client.answers.values()))
    images = {name: pixels(messages[-1]) for name, messages in client.answers.items()}
    np.testing.assert_array_equal(images["color"], CAMVID.palette[images["label"]])
    np.testing.assert_allclose(images["overlay"], 0.75 * rgb + 0.25 * images["color"], atol=1)
    assert images["confidence"].shape == (48, 64)
    assert images["confidence"].min() >= 255 // len(CAMVID)
    assert client.answers["overlay"][-1].encoding == client.answers["color"][-1].encoding == "rgb8"


def test_nothing_is_built_that_nobody_wants(start, monkeypatch):
    start_node, start_client = start
    node = start_node()
    client = start_client(outputs=("label",))
    colored, asked = [], []
    monkeypatch.setattr(type(CAMVID), "colorize", colored.append)
    step = type(node._engine).step
    monkeypatch.setattr(
        type(node._engine), "step", lambda self, frames, states, confidence, flow: asked.append(confidence)
        or step(self, frames, states, confidence, flow)
    )  # fmt: skip
    client.ask(1.0)
    assert client.count("processed") == 1
    assert (colored, asked) == ([], [False])


def test_compressed_images(start, checkpoint_file):
    start_node, start_client = start
    start_node(image_transport="compressed")
    client = start_client(compressed=True)
    rgb = picture()
    png = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    jpeg = cv2.imencode(".jpg", rgb)[1].tobytes()
    client.publisher.publish(CompressedImage(header=header(1.0), format="png", data=png))
    client.wait(lambda: client.answers["label"])
    np.testing.assert_array_equal(pixels(client.answers["label"][0]), expected_labels(checkpoint_file, [rgb])[0])
    client.publisher.publish(CompressedImage(header=header(1.1), format="jpeg", data=jpeg[: len(jpeg) // 2]))
    client.wait(lambda: client.count("rejected") == 1)
    assert "truncated" in client.report()[2]["last_problem"]
    client.publisher.publish(CompressedImage(header=header(1.2), format="jpeg", data=jpeg))
    client.wait(lambda: len(client.answers["label"]) == 2)


def test_compressed_images_of_another_picture_reset_the_state(start):
    """A camera that turns grey, at night, and back; another way to compress the same picture changes nothing."""
    start_node, start_client = start
    start_node(image_transport="compressed")
    client = start_client(compressed=True)
    rgb = picture()
    sent = [("jpeg", rgb), ("png", rgb), ("rgb8; jpeg compressed bgr8", rgb), ("jpeg", rgb[..., 0]), ("jpeg", rgb)]
    for number, (said, samples) in enumerate(sent):
        data = cv2.imencode(".png" if said == "png" else ".jpg", samples)[1].tobytes()
        client.publisher.publish(CompressedImage(header=header(1 + number / 10), format=said, data=data))
        client.wait(lambda number=number: client.count("processed") == number + 1)
        assert client.count("resets") == max(number - 2, 0)


BAD_FIELDS = [
    ({"step": 10}, "step is 10"),
    ({"data": [1, 2, 3]}, "data has 3 bytes"),
    ({"width": 0}, "0x48 pixels"),
    ({"height": 0}, "64x0 pixels"),
    ({"encoding": "jpeg2000"}, "unknown encoding 'jpeg2000'"),
    ({"encoding": "32FC1", "step": 64 * 4, "data": bytes(48 * 64 * 4)}, "32FC1"),
]


def test_bad_frames_are_counted_and_the_node_lives_on(start):
    start_node, start_client = start
    start_node()
    client = start_client()
    for number, (fields, problem) in enumerate(BAD_FIELDS, 1):
        client.send(number, **fields)
        client.wait(lambda number=number: client.count("rejected") == number)
        assert problem in client.report()[2]["last_problem"]
        client.ask(number + 0.1)
    assert client.count("processed") == len(BAD_FIELDS)
    client.send(100.0, step=1)
    client.wait(lambda: any(s.level == DiagnosticStatus.WARN and "bad frame" in s.message
                            for report in client.reports for s in report.status))  # fmt: skip


def test_engine_failure_is_a_rejected_frame(start, monkeypatch):
    start_node, start_client = start
    node = start_node()
    client = start_client()

    def fail(*_):
        raise MemoryError("out of memory")

    client.ask(1.0)
    with monkeypatch.context() as patch:
        patch.setattr(type(node._engine), "step", fail)
        client.send(1.1)
        client.wait(lambda: client.count("rejected") == 1)
        assert client.report()[2]["last_problem"] == "MemoryError: out of memory"
    client.ask(1.2)
    assert client.count("resets") == 1  # the memory went with the step


def test_a_bad_frame_hides_no_jump_of_time(start):
    start_node, start_client = start
    start_node(max_gap=0.5)
    client = start_client()
    client.ask(10.0)
    client.send(70.0, encoding="nonsense")
    client.wait(lambda: client.count("rejected") == 1)
    client.ask(70.1)
    assert client.count("resets") == 1
    client.ask(70.2)
    assert client.count("resets") == 1


def test_time_and_size_changes_reset_the_state(start):
    start_node, start_client = start
    start_node(max_gap=0.5)
    client = start_client()
    steps = [(1.0, None, 0), (1.2, None, 0), (1.2, None, 0), (1.1, None, 1), (1.9, None, 2), (2.0, picture(40, 64), 3)]
    for seconds, rgb, resets in steps:
        client.ask(seconds, rgb)
        assert client.count("resets") == resets
    client.ask(2.1, picture(40, 64), header=header(2.1, "other"))
    assert client.count("resets") == 4
    grey = {"encoding": "mono8", "step": 64, "data": bytes(40 * 64)}
    client.ask(2.2, picture(40, 64), header=header(2.2, "other"), **grey)
    assert client.count("resets") == 5
    assert client.count("repeated") == 1


def test_reset_service(start, checkpoint_file):
    start_node, start_client = start
    start_node()
    client = start_client()
    rgb = picture()
    first = pixels(client.ask(1.0, rgb))
    assert (pixels(client.ask(1.1, rgb)) != first).mean() > 0.05  # memory shows
    service = client.node.create_client(Trigger, "segmentation/reset_state")
    client.wait(service.service_is_ready)
    call = service.call_async(Trigger.Request())
    client.wait(call.done)
    assert call.result().success
    np.testing.assert_array_equal(pixels(client.ask(1.2, rgb)), first)
    assert client.count("resets") == 1


def test_several_cameras_have_a_state_each(start, checkpoint_file):
    start_node, start_client = start
    start_node(cameras=["front", "rear"])
    front, rear = start_client("front"), start_client("rear")
    frames = {camera: [picture(48, 64 + 16 * k, seed=10 * k + i) for i in range(3)]
              for k, camera in enumerate((front, rear))}  # fmt: skip
    for i in range(3):
        for camera, clip in frames.items():
            labels = expected_labels(checkpoint_file, clip)[i]
            np.testing.assert_array_equal(pixels(camera.ask(1 + i / 15, clip[i])), labels)
    rear.send(2.0, encoding="nonsense")
    rear.wait(lambda: rear.count("rejected", 1) == 1)
    front.ask(1.3)
    assert front.count("rejected", 0) == 0


def test_lifecycle_creates_and_gives_back(start, checkpoint_file):
    start_node, start_client = start
    node = start_node(activate=False)
    success = TransitionCallbackReturn.SUCCESS
    for _ in range(2):
        assert node.trigger_configure() == success
        assert node.trigger_activate() == success
        client = start_client()
        client.ask(1.0)
        assert node.trigger_deactivate() == success
        assert client.count("resets") == 1
        assert client.report()[:2] == (DiagnosticStatus.WARN, "not active")
        before = len(client.answers["label"])
        client.send(1.1)
        time.sleep(0.3)
        assert len(client.answers["label"]) == before
        assert node.trigger_cleanup() == success
        assert node._engine is None
        client.wait(lambda node=client.node: not node.count_publishers("/segmentation/label"))
        client.node.destroy_node()
    assert node.trigger_shutdown() == success


def test_autostart_can_be_left_to_a_manager(start):
    node = start[0](autostart=False)  # and autostart() was called
    assert node._engine is None
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


def test_works_and_reports_in_simulated_time_whose_clock_stands_still(start):
    start_node, start_client = start
    start_node(use_sim_time=True)
    client = start_client()
    assert client.ask(1.0).header == header(1.0)
    assert client.count("processed") == 1


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"model": "/no/such.safetensors"}, "does not exist"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not here"),
        ({"image_transport": "smoke"}, "use one of raw, compressed"),
        ({"size": [8, 8]}, "at least 16"),
        ({"cameras": ["front", "front"]}, "a name of its own"),
        ({"cameras": ["front camera"]}, "InvalidTopicName"),
    ],
)
def test_wrong_parameters_fail_to_configure_and_can_be_mended(start, checkpoint_file, parameters, problem):
    start_node, start_client = start
    node = start_node(activate=False, **parameters)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert problem in node._problem
    good = {"model": str(checkpoint_file), "device": "cpu", "image_transport": "raw", "size": [0, 0], "cameras": [""]}
    node.set_parameters([Parameter(name, value=good[name]) for name in parameters])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    client = start_client()
    client.ask(1.0)
    assert client.count("received") == 1  # nothing of the first attempt listens, too


def test_out_of_range_parameter_is_refused(start):
    node = start[0](activate=False)
    assert not node.set_parameters([Parameter("max_gap", value=-1.0)])[0].successful
    assert not node.set_parameters([Parameter("autostart", value=False)])[0].successful  # read-only


def test_qos_overrides_change_one_topic_alone(start):
    node = start[0](**{"qos_overrides./segmentation/label.publisher.depth": 7})
    publishers = node._cameras[""].publishers
    assert publishers["label"].qos_profile.depth == 7
    assert publishers["color"].qos_profile.depth == 1
    assert node.get_parameter("qos_overrides./image.subscription.reliability").value == "best_effort"


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160), (4096, 3000)])
def test_large_images_arrive_over_the_profile(start, width, height):
    if width > 1920 and find_profile() != LARGE_PROFILE:
        pytest.skip("shared memory is too small")
    start_node, start_client = start
    start_node()
    client = start_client(outputs=("color",))
    for i in range(20):
        answer = client.ask(1 + i / 20, picture(height, width), output="color")
        assert (answer.width, answer.height) == (width, height)
    assert client.count("received") == 20


@pytest.mark.parametrize("cut", [0.0, 0.5])
def test_truncated_model_is_one_line(start, checkpoint_file, tmp_path, cut):
    broken = tmp_path / "broken.safetensors"
    data = checkpoint_file.read_bytes()
    broken.write_bytes(data[: int(cut * len(data))])
    node = start[0](activate=False, model=str(broken))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "truncated or not a safetensors file" in node._problem
