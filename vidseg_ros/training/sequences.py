"""The order in which training takes the frames of a clip, and what belongs to them then."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from vidseg_ros.labels import IGNORE
from vidseg_ros.losses import Batch


def there_and_back(count: int, length: int) -> list[int]:
    """Return the ``count`` frames that come before frame 0 where a clip of ``length`` runs to and fro.

    >>> there_and_back(5, 3)
    [1, 0, 1, 2, 1]
    """
    period = 2 * (length - 1)
    return [min(back % period, period - back % period) for back in range(count, 0, -1)]


def flow_along(batch: Batch, order: Sequence[int]) -> Tensor | None:
    """The flow from each frame to the one before, (len(order), N, 2, H, W), where frames are taken in ``order``.

    Neighbours in it are neighbours in the clip; the first frame has none before it. None where nothing needs it.
    """
    if batch.flow is None or batch.backward is None:
        return None
    flows = [torch.zeros_like(batch.backward[0])]
    for before, now in pairwise(order):
        flows.append(batch.backward[before] if now > before else batch.flow[now])
    return torch.stack(flows)


def last_only(labels: Tensor) -> Tensor:
    """Labels (T, N, H, W) of which only the last frame's are known."""
    return torch.cat([torch.full_like(labels[:-1], IGNORE), labels[-1:]])
