import dataclasses

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, IGNORE
from vidseg_ros.simulation import rasterizer, textures
from vidseg_ros.simulation.street_world import Pose, StreetWorld, StreetWorldConfig, WorldFrame

SMALL = StreetWorldConfig(width=160, height=120)
ROAD = CAMVID.id_of("road")


def sample(image: NDArray[np.generic], flow: NDArray[np.float32]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Look ``image`` up where each pixel goes; also say which pixels stay inside."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = np.rint(columns + flow[..., 0]).astype(int), np.rint(rows + flow[..., 1]).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)], inside


def away_from_edges(labels: NDArray[np.uint8], reach: int = 3) -> NDArray[np.bool_]:
    kernel = np.ones((2 * reach + 1,) * 2, np.uint8)
    return cv2.dilate(labels, kernel) == cv2.erode(labels, kernel)


def same(a: WorldFrame, b: WorldFrame) -> bool:
    return a.rgb.tobytes() == b.rgb.tobytes() and a.labels.tobytes() == b.labels.tobytes()


def test_same_seed_gives_the_same_bytes_and_another_seed_another_street() -> None:
    one, again = StreetWorld(SMALL).frame(7), StreetWorld(SMALL).frame(7)
    other = StreetWorld(dataclasses.replace(SMALL, seed=1)).frame(7)
    assert same(one, again)
    assert one.flow.tobytes() == again.flow.tobytes()
    assert np.mean(one.labels != other.labels) > 0.1


def test_any_order_of_access_gives_the_same_frames() -> None:
    world = StreetWorld(SMALL)
    forward = [world.frame(index) for index in range(0, 120, 30)]
    backward = [StreetWorld(SMALL).frame(index) for index in (90, 60, 30, 0)][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))
    assert not same(forward[0], forward[1])


def test_shapes_types_and_stamp() -> None:
    frame = StreetWorld(dataclasses.replace(SMALL, fps=10)).frame(25)
    assert (frame.rgb.shape, frame.rgb.dtype) == ((120, 160, 3), np.uint8)
    assert (frame.labels.shape, frame.labels.dtype) == ((120, 160), np.uint8)
    assert (frame.flow.shape, frame.flow.dtype) == ((120, 160, 2), np.float32)
    assert np.isfinite(frame.flow).all()
    assert frame.stamp == 2.5


def test_all_classes_appear_and_no_others() -> None:
    found: set[int] = set()
    for seed in range(4):
        world = StreetWorld(dataclasses.replace(SMALL, width=240, height=180, seed=seed))
        for index in range(0, 300, 50):
            found |= set(np.unique(world.frame(index).labels).tolist())
    assert found - {IGNORE} == set(range(len(CAMVID)))


@pytest.mark.parametrize("seed", [0, 3])
def test_the_sky_is_above_and_the_ground_below(seed: int) -> None:
    world = StreetWorld(dataclasses.replace(SMALL, seed=seed))
    for index in range(0, 200, 40):
        labels = world.frame(index).labels
        assert not (labels[70:] == CAMVID.id_of("sky")).any()
        assert np.mean(labels[100:] == ROAD) > 0.4


def test_flow_of_the_road_is_what_geometry_says() -> None:
    # A level camera at height h drives d ahead: a road pixel r rows and c columns off the centre lies at depth
    # z = focal * h / r and goes to r * z / (z - d), c * z / (z - d).
    world = StreetWorld(StreetWorldConfig(seed=2))
    d, h, focal, (cx, cy) = 0.7, 1.4, 0.85 * 480, (479 / 2, 359 * 0.45)
    y = world.drive(0.0).y
    frame = world.render(Pose(50.0, y), 3.0, Pose(50.0 + d, y), 3.1)
    rows, columns = np.nonzero(frame.labels == ROAD)
    rows, columns = rows[rows > cy + 15], columns[rows > cy + 15]
    growth = 1 / (1 - d * (rows - cy) / (focal * h)) - 1
    expected = np.stack([(columns - cx) * growth, (rows - cy) * growth], 1)
    assert len(rows) > 30_000
    np.testing.assert_allclose(frame.flow[rows, columns], expected, atol=0.02)


def test_turning_alone_moves_the_sky_as_far_as_the_angle() -> None:
    world, focal = StreetWorld(StreetWorldConfig(seed=2)), 0.85 * 480
    y, turn = world.drive(0.0).y, 0.02
    frame = world.render(Pose(50.0, y), 3.0, Pose(50.0, y, heading=turn), 3.0)
    sky = np.nonzero(frame.labels == CAMVID.id_of("sky"))
    angle = np.arctan((sky[1] - 479 / 2) / focal)
    np.testing.assert_allclose(frame.flow[sky][:, 0], focal * (np.tan(angle + turn) - np.tan(angle)), atol=0.02)


def test_a_camera_at_rest_sees_only_the_traffic_move() -> None:
    world = StreetWorld(StreetWorldConfig(seed=1))
    frame = world.render(world.drive(4.0), 4.0)
    moving = np.hypot(*np.moveaxis(frame.flow, 2, 0)) > 0.01
    names = {CAMVID.names[label] for label in np.unique(frame.labels[moving])}
    assert names
    assert names <= {"car", "pedestrian", "bicyclist"}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_follow_the_flow(seed: int) -> None:
    world = StreetWorld(StreetWorldConfig(width=320, height=240, seed=seed))
    kept, total = 0, 0
    for index in (10, 100, 190):
        now, later = world.frame(index), world.frame(index + 1)
        moved, inside = sample(later.labels, now.flow)
        clear = inside & away_from_edges(now.labels)
        kept, total = kept + int((moved == now.labels)[clear].sum()), total + int(clear.sum())
    assert total > 80_000
    assert kept / total > 0.98
    stay = np.mean(world.frame(10).labels == world.frame(11).labels)
    assert kept / total > stay  # the flow explains more than standing still does


def test_colours_follow_the_flow_except_for_light_and_noise() -> None:
    config = StreetWorldConfig(seed=2, noise=0, flicker=0)
    world = StreetWorld(config)
    now, later = world.frame(40), world.frame(41)
    columns, rows = np.meshgrid(np.arange(480, dtype=np.float32), np.arange(360, dtype=np.float32))
    moved = cv2.remap(later.rgb, columns + now.flow[..., 0], rows + now.flow[..., 1], cv2.INTER_LINEAR)
    _, inside = sample(later.labels, now.flow)
    clear = inside & away_from_edges(now.labels)

    def error(picture: NDArray[np.uint8]) -> float:
        return float(np.abs(picture[clear].astype(int) - now.rgb[clear]).mean())

    assert error(moved) < 6
    assert error(moved) < 0.75 * error(later.rgb)


def test_noise_and_light_touch_the_picture_only() -> None:
    plain = StreetWorld(dataclasses.replace(SMALL, noise=0, flicker=0, blur=0)).frame(5)
    rough = StreetWorld(dataclasses.replace(SMALL, noise=9)).frame(5)
    assert (plain.labels == rough.labels).all()
    assert (plain.flow == rough.flow).all()
    assert (plain.rgb != rough.rgb).any()


@pytest.mark.parametrize(("width", "height"), [(17, 33), (161, 91), (64, 256)])
def test_odd_sizes(width: int, height: int) -> None:
    frame = StreetWorld(StreetWorldConfig(width=width, height=height)).frame(3)
    assert frame.rgb.shape == (height, width, 3)
    assert frame.flow.shape == (height, width, 2)


def test_any_pose_has_a_picture() -> None:
    world = StreetWorld(SMALL)
    for heading in np.linspace(-3, 3, 7).tolist():
        frame = world.render(Pose(-500.0, 1.0, heading, 0.1, 2.0), 1.0)
        assert ROAD in frame.labels
        assert np.isfinite(frame.flow).all()


def test_far_along_the_street_costs_no_more() -> None:
    world = StreetWorld(SMALL)
    for index in range(0, 60_000, 10_000):
        frame = world.frame(index)
    model = world._model
    assert model._chunk.cache_info().currsize <= 24
    assert model._traveller.cache_info().currsize <= 512
    assert len(np.unique(frame.labels)) >= 5
    ahead = world.frame(50_001)
    moved, inside = sample(ahead.labels, frame.flow)
    clear = inside & away_from_edges(frame.labels)
    assert np.mean(moved[clear] == frame.labels[clear]) > 0.95


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 0), ("height", -3), ("fps", 0.0), ("fps", float("nan")), ("seed", -1), ("speed", 1e9), ("noise", -1)],
)
def test_bad_configuration_says_what_to_do(name: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"{name} {value} is out of range; use .+ to .+") as caught:
        StreetWorldConfig(**{name: value})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_negative_frame_is_refused() -> None:
    with pytest.raises(UserError, match="frame -1"):
        StreetWorld(SMALL).frame(-1)


def test_a_broken_pixel_count_is_refused() -> None:
    with pytest.raises(UserError, match=r"width 480\.5 is not a whole number"):
        StreetWorldConfig(width=480.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [0, 1])
def test_leaving_out_what_lies_hidden_changes_no_byte(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(SMALL, seed=seed)
    poses = [Pose(x, y, heading) for x, y, heading in ((30.0, 0.0, 0.0), (65.0, 4.5, 0.7), (-20.0, -4.0, 3.0))]
    monkeypatch.setattr(rasterizer, "BLOCKS", 1)  # everything is painted, from far to near
    painted = [StreetWorld(config).render(pose, 2.0) for pose in poses]
    for blocks in (2, 40):
        monkeypatch.setattr(rasterizer, "BLOCKS", blocks)
        assert all(
            same(StreetWorld(config).render(pose, 2.0), frame) for pose, frame in zip(poses, painted, strict=True)
        )


def test_what_reaches_behind_the_camera_is_cut_off_at_the_nearest_distance() -> None:
    camera = StreetWorld(SMALL).camera(Pose(0.0, 0.0))
    far, behind = 2.0, -1.0
    square = np.asarray([(-1, 1, far), (1, 1, far), (1, 1, behind), (-1, 1, behind)]).T[:, :, None]  # a floor
    (outline,) = rasterizer._clipped(square.astype(np.float64), camera)
    places = outline / 16 - camera.center
    expected = [(x * camera.focal / z, camera.focal / z) for x, z in ((-1, far), (1, far), (1, 0.3), (-1, 0.3))]
    np.testing.assert_allclose(places, expected, atol=1 / 16)
    (nothing,) = rasterizer._clipped(square - [[[0.0]], [[0.0]], [[5.0]]], camera)
    assert len(nothing) == 0


def test_rows_of_all_patterns_fit_into_the_16_bits_of_a_place() -> None:
    assert len(textures.Texture) * textures.LEVELS * textures.SIZE <= 2**15


def test_patterns_laid_straight_inside_a_run_are_where_perspective_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    world = StreetWorld(dataclasses.replace(SMALL, width=320, height=240, noise=0))
    frames = [world.frame(index).rgb for index in range(0, 200, 40)]
    monkeypatch.setattr(rasterizer, "LONGEST", 1)  # each pixel by itself: exact
    exact = [world.frame(index).rgb for index in range(0, 200, 40)]
    apart = np.abs(np.stack(frames).astype(int) - np.stack(exact)).max(-1)
    assert 0 < apart.mean() < 1.5
    assert np.mean(apart > 16) < 0.02
