"""The lifecycle node ``segmentation``: image in -> FrameStream -> label image out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Trigger

from vidseg_ros.engines import Engine, open_model
from vidseg_ros.errors import UserError, describe
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import Decoder, find_decoder
from vidseg_ros.ros.diagnostics import make_status
from vidseg_ros.ros.parameters import Parameters, declare_parameters, read_parameters, warn_of_unknown_qos
from vidseg_ros.ros.segmentation.camera import Camera
from vidseg_ros.ros.segmentation.keep_last_queue import KeepLastQueue
from vidseg_ros.ros.segmentation.label_info import publish_label_info
from vidseg_ros.ros.segmentation.received import Received
from vidseg_ros.ros.segmentation.recovery import Recovery
from vidseg_ros.ros.segmentation.warm_up import WarmUp
from vidseg_ros.ros.spin import run
from vidseg_ros.stream import Segmentation, segment_together


@contextmanager
def rejecting(camera: Camera) -> Iterator[None]:
    """Turn any exception into a rejected frame of ``camera``: nothing in a frame may end the worker."""
    try:
        yield
    except Exception as error:
        camera.reject(error)


class SegmentationNode(LifecycleNode):
    """The executor only puts messages into a queue; a worker thread takes the newest of each camera from it."""

    def __init__(self, **options: Any) -> None:
        # before anything that may fail: newer rclpy destroys a node that was not made to the end, too
        self._engine: Engine | None = None
        self._cameras: dict[str, Camera] = {}
        self._warm_up: WarmUp | None = None
        self._label_info: Any = None
        self._worker: Thread | None = None
        self._queue: KeepLastQueue[str, Received] = KeepLastQueue()
        self._decoder: Decoder | None = None
        self._recovery: Recovery | None = None
        self._problem = "not configured"
        super().__init__("segmentation", **options)
        declare_parameters(self, Parameters)
        self.create_service(Trigger, "~/reset_state", self._on_reset_state)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # report also where /clock stands still
        self.create_timer(self.get_parameter("diagnostics_period").value, self._report, clock=steady)

    # -- life cycle: create in configure, work between activate and deactivate, give back in cleanup

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create topics; a wrong parameter is logged in one line and can be mended."""
        try:
            parameters = read_parameters(self, Parameters)
            self._decoder = find_decoder()
            self._engine = open_model(parameters.model, parameters.engine_config, self.get_logger().warning)
            self._create_cameras(parameters, self._engine)
            self._recovery = Recovery(parameters, len(self._cameras), self.get_logger().warning)
            self._warm_up = self._recovery.warmed(self._engine)
        except Exception as error:  # rclpy would swallow it and say nothing
            self._release()
            self._problem = describe(error)
            if self.context.ok():  # else a signal has shut rclpy down, and nothing is wrong
                self.get_logger().error(f"cannot configure: {self._problem}")
            return TransitionCallbackReturn.FAILURE
        self._problem = ""
        return TransitionCallbackReturn.SUCCESS

    def _create_cameras(self, parameters: Parameters, engine: Engine) -> None:
        names = [name for name in parameters.cameras if name] or [""]
        if len(set(names)) < len(names):
            raise UserError(f"cameras is {names}; give each camera a name of its own")
        for name in names:
            camera = self._cameras[name] = Camera(self, name, engine, parameters)
            camera.create_topics(partial(self._on_image, name))
        warn_of_unknown_qos(self)
        self._label_info = publish_label_info(self, engine.labels)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start working."""
        self._queue = KeepLastQueue(replace=lambda old, new: new.after(old))
        self._worker = Thread(target=self._work, args=(self._queue,), name="segmentation", daemon=True)
        self._worker.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and forget the past."""
        self.finish()
        for camera in self._cameras.values():
            camera.reset("deactivated")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back, from any state."""
        self.finish()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back; the node can be configured again."""
        return self.on_shutdown(state)

    def finish(self) -> None:
        """Stop working; what waits is dropped."""
        for name in self._queue.close():
            self._cameras[name].statistics.dropped += 1
        if self._worker is not None:
            self._worker.join()
            self._worker = None

    def destroy_node(self) -> None:
        """Leave no thread behind."""
        self._release()
        super().destroy_node()

    def _release(self) -> None:
        if self._warm_up is not None:
            self._warm_up.stop()
        for camera in self._cameras.values():
            camera.destroy()
        if self._label_info is not None:
            self.destroy_publisher(self._label_info)
        if self._engine is not None:
            self._engine.close()
        self._cameras, self._engine, self._warm_up, self._label_info = {}, None, None, None
        self._problem = "not configured"

    # -- from image message to label message

    def _on_image(self, name: str, data: bytes) -> None:
        """Take a message from the executor; never waits."""
        if self._worker is None:
            return
        camera = self._cameras[name]
        if self._queue.put(name, camera.receive(data)):
            camera.statistics.dropped += 1

    def _work(self, queue: KeepLastQueue[str, Received]) -> None:
        """Process the newest messages until the queue closes; nothing in a frame may end this loop."""
        while (waiting := queue.take()) is not None:
            self._process([(self._cameras[name], received) for name, received in waiting.items()])

    def _process(self, waiting: list[tuple[Camera, Received]]) -> None:
        """Segment one message of each camera that has one, in one batch."""
        assert self._decoder is not None, "configured"
        jobs: list[tuple[Camera, Received, Any, Frame]] = []
        for camera, received in waiting:
            with rejecting(camera):
                jobs.append((camera, received, *camera.read(received, self._decoder)))
        for (camera, received, header, frame), result in zip(jobs, self._step(jobs), strict=False):
            with rejecting(camera):
                camera.publish(received, header, frame, result)

    def _step(self, jobs: list[tuple[Camera, Received, Any, Frame]]) -> list[Segmentation]:
        """Run the network; a step that fails rejects all its frames and leaves no memory."""
        cameras = [camera for camera, *_ in jobs]
        try:
            wanted = any(camera.wants("confidence") for camera in cameras)
            confidence = wanted and self._warm_up is not None and self._warm_up.has_confidence(len(jobs))
            results = segment_together([c.stream for c in cameras], [frame for *_, frame in jobs], confidence)
        except Exception as error:  # out of memory, a lost GPU, ...
            for camera in cameras:
                camera.reject(error)
                camera.reset("the step failed")
            self._recover(error)
            return []
        if jobs and self._recovery is not None:
            self._recovery.succeeded()
        return results

    def _recover(self, error: Exception) -> None:
        """Go on with what is left, where the engine keeps failing and it is not the end of the process that ends it."""
        if self._recovery is None or self._warm_up is None or not self.context.ok():
            return
        before, self._warm_up = self._warm_up, self._recovery.failed(self._warm_up, error)
        if self._warm_up is not before:  # what the other cameras remember is of the engine that is closed
            self._engine = self._warm_up.engine
            for camera in self._cameras.values():
                camera.stream.engine = self._engine
                camera.reset("the engine was opened anew")

    # -- services and diagnostics

    def _on_reset_state(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._worker is not None, "the past is forgotten"
        if not response.success:
            response.message = self._problem or "not active: there is no past"
            return response
        for camera in self._cameras.values():
            camera.reset_requested = True  # done by the worker, before the next frame
        return response

    def _report(self) -> None:
        array = DiagnosticArray()
        array.header.stamp = self.get_clock().now().to_msg()
        active = self._worker is not None
        array.status = [camera.report(active) for camera in self._cameras.values()]
        level = DiagnosticStatus.OK if active else DiagnosticStatus.WARN
        text = "active" if active else self._problem or "configured, not active"
        array.status.append(make_status(self.get_fully_qualified_name(), "", level, text, {}))
        self._diagnostics.publish(array)

    def autostart(self) -> None:
        """Configure and activate, where the parameter says so."""
        if (
            self.get_parameter("autostart").value
            and self.trigger_configure() == TransitionCallbackReturn.SUCCESS
            and self.trigger_activate() == TransitionCallbackReturn.SUCCESS
        ):
            self.get_logger().info(f"segmenting {', '.join(camera.topic for camera in self._cameras.values())}")


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; returns the exit code."""
    return run(SegmentationNode, "segmentation", Parameters, arguments, SegmentationNode.autostart)


if __name__ == "__main__":
    sys.exit(main())
