"""One stretch of street: ground, houses, what stands along the kerb, parked cars."""

from __future__ import annotations

import numpy as np

from vidseg_ros.simulation.buildings import building
from vidseg_ros.simulation.cars import car
from vidseg_ros.simulation.polygons import Builder, Layer, Paint, Polygons, paint
from vidseg_ros.simulation.roadside import fence, hedge, lamp, sign, traffic_light, tree
from vidseg_ros.simulation.seeding import seeded_rng
from vidseg_ros.simulation.shapes import PAVEMENT, ROAD, TREE, Rng, along_street, block, tint, wall
from vidseg_ros.simulation.street import LANE, PARKING, Street
from vidseg_ros.simulation.textures import Texture

CHUNK = 40.0
"""Length of street that is drawn by lot in one go, m."""

KERB, WIDE = 0.12, 75.0  # height of the pavement and half the width of the world, m
SEAMLESS = 51.2  # texels per metre at which whole tiles fit into the 10 m pieces of ground

Span = tuple[float, float]


def draw_chunk(street: Street, index: int) -> Polygons:
    """All that stands still between ``index * CHUNK`` and one chunk further."""
    rng, builder, x0 = seeded_rng(street.seed, 2, index), Builder(), index * CHUNK
    junction = index % 5 == 2 + street.seed % 3
    for x in np.arange(x0, x0 + CHUNK, 10.0).tolist():
        _ground(builder, rng, street, x, crossing=junction and x == x0 + 10)
    _markings(builder, rng, street, x0, junction)
    for side in (-1, 1):
        spans = [(x0, x0 + 10), (x0 + 20, x0 + CHUNK)] if junction else [(x0, x0 + CHUNK)]
        _backdrop(builder, rng, street, x0, side)
        for start, end in spans:
            _lots(builder, rng, street, (start, end), side)
            _roadside(builder, rng, street, (start, end), side)
    if junction:
        for side in (-1, 1):
            traffic_light(builder, rng, x0 + 9, side * (street.kerb + 0.5))
            sign(builder, rng, x0 + 21.5, side * (street.kerb + 0.6))
    return builder.finish()


def _ground(builder: Builder, rng: Rng, street: Street, x: float, crossing: bool) -> None:
    builder.begin(Layer.GROUND, (x, 0, x + 10, 0))
    asphalt = paint(Texture.ASPHALT, tint(rng, street.asphalt, 0.015), SEAMLESS, 0.5)
    reach = WIDE if crossing else street.kerb
    builder.floor((x, -reach, x + 10, reach), 0, asphalt, ROAD)
    if crossing:
        return
    stone = paint(Texture.PLAIN, tint(rng, (0.6, 0.58, 0.55), 0.03), 40, 0.3)
    for side in (-1, 1):
        inner, outer, far = sorted((side * street.kerb, side * street.facade, side * WIDE), key=abs)
        builder.floor((x, min(outer, far), x + 10, max(outer, far)), KERB, *_yard(rng, street, x))
        slabs = paint(Texture.PAVING, tint(rng, street.slabs, 0.015), SEAMLESS, 0.5)
        builder.floor((x, min(inner, outer), x + 10, max(inner, outer)), KERB, slabs, PAVEMENT)
        wall(builder, along_street(x, x + 10, inner), (0, KERB), stone, PAVEMENT)
        rim = sorted((inner, inner + side * 0.16))
        builder.floor((x, rim[0], x + 10, rim[1]), KERB, stone, PAVEMENT, fine=True)


def _yard(rng: Rng, street: Street, x: float) -> tuple[Paint, int]:
    if street.built_up(x) > 0.6:
        return paint(Texture.ASPHALT, tint(rng, street.slabs, 0.03) * 0.8, SEAMLESS), PAVEMENT
    return paint(Texture.GRASS, tint(rng, street.leaf, 0.03) * 1.05, SEAMLESS), TREE


def _markings(builder: Builder, rng: Rng, street: Street, x0: float, junction: bool) -> None:
    white = paint(Texture.ASPHALT, tint(rng, (0.74, 0.74, 0.72), 0.03), SEAMLESS, 0.35)
    dim = paint(Texture.ASPHALT, np.asarray(street.asphalt) * rng.uniform(0.75, 0.9), SEAMLESS, 0.5)
    builder.begin(Layer.MARK, (x0, 0, x0 + 10, 0))
    for _ in range(int(rng.integers(0, 3))):  # patches of newer asphalt
        x, y = x0 + rng.uniform(0, 36), rng.uniform(-street.kerb, street.kerb - 2)
        builder.floor((x, y, x + rng.uniform(1, 4), y + rng.uniform(0.8, 2)), 0, dim, ROAD, fine=True)
    for x in np.arange(x0, x0 + CHUNK, 5.0).tolist():
        if junction and x0 + 5 <= x < x0 + 25:
            continue
        builder.floor((x, -0.07, x + 2.5, 0.07), 0, white, ROAD, fine=True)
        for y in [LANE] * (street.lanes - 1):
            builder.floor((x, y - 0.06, x + 1.8, y + 0.06), 0, white, ROAD, fine=True)
            builder.floor((x, -y - 0.06, x + 1.8, -y + 0.06), 0, white, ROAD, fine=True)
        for side in (-1, 1):
            y = side * street.lanes * LANE
            builder.floor((x, y - 0.05, x + 5, y + 0.05), 0, white, ROAD, fine=True)
    if junction:
        _zebra(builder, street, x0 + 6.0, white)


def _zebra(builder: Builder, street: Street, x: float, white: Paint) -> None:
    for y in np.arange(-street.kerb + 0.3, street.kerb - 0.5, 1.0).tolist():
        builder.floor((x, y, x + 2.6, y + 0.5), 0, white, ROAD, fine=True)
    for side in (-1, 1):
        y0, y1 = sorted((0.0, side * street.lanes * LANE))
        stop = x - 1.2 if side == -street.right else x + 16.0
        builder.floor((stop, y0, stop + 0.35, y1), 0, white, ROAD, fine=True)


def _backdrop(builder: Builder, rng: Rng, street: Street, x0: float, side: int) -> None:
    """Close the view through gaps with a row of houses and trees further back."""
    y = side * (street.facade + rng.uniform(26, 36))
    builder.begin(Layer.BACK, (x0, y, x0 + CHUNK, y))
    for x in np.arange(x0, x0 + CHUNK, CHUNK / 2).tolist():
        if rng.random() < 0.6:
            building(builder, rng, (x, x + CHUNK / 2), y, storeys=int(rng.integers(2, 5)))
        else:
            builder.begin(Layer.BACK, (x, y, x + CHUNK / 2, y))
            look = paint(Texture.LEAVES, tint(rng, street.leaf, 0.1) * 0.9, 20, 0.7)
            block(builder, ((x, y), (x + CHUNK / 2, y + side * 3)), rng.uniform(5, 9), look, TREE)


def _lots(builder: Builder, rng: Rng, street: Street, span: Span, side: int) -> None:
    x, end = span
    while end - x > 0.5:
        width = min(rng.uniform(7, 16), end - x)
        if end - x - width < 6:
            width = end - x
        if rng.random() < 0.06 + 0.38 * (1 - street.built_up(x)):
            _garden(builder, rng, street, (x, x + width), side)
        else:
            _plot(builder, rng, street, (x, x + width), side)
        x += width


def _garden(builder: Builder, rng: Rng, street: Street, span: Span, side: int) -> None:
    x0, x1 = span
    _boundary(builder, rng, street, span, side)
    for _ in range(int(rng.integers(1, 4))):
        y = side * (street.facade + rng.uniform(1.5, 9))
        place = (rng.uniform(x0 + 1, x1 - 1), y)
        tree(builder, rng, place, street.leaf, layer=Layer.BACK, shadow=street.shadow)


def _plot(builder: Builder, rng: Rng, street: Street, span: Span, side: int) -> None:
    dense = street.built_up(span[0])
    setback = 0.0 if rng.random() < dense else rng.uniform(2, 5)
    storeys = int(np.clip(round(rng.normal(street.storeys * (0.6 + 0.5 * dense), 0.9)), 2, 7))
    inset = 0.0 if rng.random() < dense + 0.2 else rng.uniform(0.6, 1.2)
    front = side * (street.facade + setback)
    shop = setback == 0 and rng.random() < dense * 0.8
    inner = (span[0] + inset, span[1] - inset)
    building(builder, rng, inner, front, storeys=storeys, shop=shop, shadow=street.shadow)
    if setback:
        _boundary(builder, rng, street, span, side)


def _boundary(builder: Builder, rng: Rng, street: Street, span: Span, side: int) -> None:
    y, kind = side * (street.facade + 0.05), rng.random()
    if kind < 0.6:
        fence(builder, rng, span, y)
    elif kind < 0.85:
        hedge(builder, rng, span, y, street.leaf)


def _roadside(builder: Builder, rng: Rng, street: Street, span: Span, side: int) -> None:
    start, end = span
    shadow, green = street.shadow, 0.75 - 0.5 * street.built_up(start)
    rim = side * (street.kerb + 0.55)
    if end - start > 15:
        lamp(builder, start + rng.uniform(3, 12), rim, rng.uniform(5.5, 8), shadow)
    for x in np.arange(start + 2, end - 1, 9.0).tolist():
        if rng.random() < green:
            place = (x + rng.uniform(0, 4), rim + side * 0.2)
            tree(builder, rng, place, street.leaf, layer=Layer.STREET, shadow=shadow)
    if rng.random() < 0.7:
        sign(builder, rng, rng.uniform(start + 1, end - 1), rim)
    if street.parking >= PARKING:
        _parked(builder, rng, street, span, side)


def _parked(builder: Builder, rng: Rng, street: Street, span: Span, side: int) -> None:
    start, end = span
    x = start + rng.uniform(2, 5)
    busy = 0.25 + 0.5 * seeded_rng(street.seed, 3, side, int(start // 120)).random()
    while x < end - 3:
        if rng.random() < busy:
            y = side * (street.kerb - street.parking / 2 + rng.uniform(-0.1, 0.1))
            car(builder, rng, (x, y), ahead=-side * street.right)
        x += rng.uniform(5.8, 7.5)
