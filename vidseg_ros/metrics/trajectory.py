"""Trajectory consistency of GRFP (Nilsson and Sminchisescu 2018, section 4.2): points that never change their label."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric

from vidseg_ros.flow.motion import nearest, sample

SPACING = 4  # pixels between the points that begin a trajectory


@dataclass
class Tracks:
    """Points that are followed through a video: columns, rows float32 (N,), first label uint8 (N,).

    steady: still has its first label. followed: lived to see a second frame.
    """

    columns: Tensor
    rows: Tensor
    label: Tensor
    steady: Tensor
    followed: Tensor

    @staticmethod
    def begin(labels: Tensor, taken: Tensor | None = None) -> Tracks:
        """Begin a track in the middle of every cell of ``labels`` uint8 (H, W) that is not ``taken``, bool (cells,)."""
        across, down = _cells(labels)
        rows, columns = torch.meshgrid(
            (torch.arange(down) + 0.5) * SPACING - 0.5, (torch.arange(across) + 0.5) * SPACING - 0.5, indexing="ij"
        )
        free = torch.ones(down * across, dtype=torch.bool) if taken is None else ~taken
        columns, rows = columns.flatten()[free].to(labels.device), rows.flatten()[free].to(labels.device)
        new = torch.ones(len(columns), dtype=torch.bool, device=labels.device)
        return Tracks(columns, rows, nearest(labels, columns, rows), new, ~new)

    def follow(self, labels: Tensor, flow: Tensor, seen: Tensor) -> tuple[Tracks, Tensor]:
        """Move all points with the ``flow`` (2, H, W) into the frame of ``labels``; ``seen``: see ``flow.visible``.

        Points that are hidden or leave the picture end there; new ones begin where a cell has none. Returns the new
        tracks, and of those that ended the number of steady ones and of all, int64 (2,).
        """
        height, width = labels.shape
        step = sample(flow, self.columns, self.rows)
        columns, rows = self.columns + step[0], self.rows + step[1]
        inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
        alive = inside & nearest(seen, self.columns, self.rows)
        moved = Tracks(columns[alive], rows[alive], self.label[alive], self.steady[alive], alive[alive])
        moved.steady = moved.steady & (nearest(labels, moved.columns, moved.rows) == moved.label)
        return moved._joined(Tracks.begin(labels, moved._taken(labels))), self._count(~alive)

    def count(self) -> Tensor:
        """Numbers of steady tracks and of all, int64 (2,); a point of a single frame is no track."""
        return self._count(torch.ones_like(self.followed))

    def _count(self, of: Tensor) -> Tensor:
        return torch.stack([(of & self.followed & self.steady).sum(), (of & self.followed).sum()])

    def _taken(self, labels: Tensor) -> Tensor:
        across, down = _cells(labels)
        column = ((self.columns + 0.5) / SPACING).long().clamp(0, across - 1)
        row = ((self.rows + 0.5) / SPACING).long().clamp(0, down - 1)
        return torch.bincount(row * across + column, minlength=across * down).bool().cpu()

    def _joined(self, other: Tracks) -> Tracks:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Tracks(*(torch.cat([mine, theirs]) for mine, theirs in pairs))


def _cells(labels: Tensor) -> tuple[int, int]:
    """Numbers of cells side by side and above each other; every picture has one."""
    height, width = labels.shape
    return max(width // SPACING, 1), max(height // SPACING, 1)


class TrajectoryConsistency(Metric):
    """Share of trajectories whose label is the same in all their frames; feed it frame by frame."""

    full_state_update = False
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")
        self.tracks: Tracks | None = None

    def update(self, labels: Tensor, flow: Tensor | None = None, seen: Tensor | None = None) -> None:
        """Add the prediction, ids uint8 (H, W), of the next frame, with the flow from the frame before it.

        Without flow, a new sequence begins.
        """
        if self.tracks is None or flow is None or seen is None:
            self.end()
            self.tracks = Tracks.begin(labels)
        else:
            self.tracks, ended = self.tracks.follow(labels, flow, seen)
            self.counts += ended

    def end(self) -> None:
        """End the sequence: count the points that still live."""
        if self.tracks is not None:
            self.counts += self.tracks.count()
        self.tracks = None

    def reset(self) -> None:
        """Forget everything, also the points that still live."""
        super().reset()
        self.tracks = None

    def compute(self) -> Tensor:
        """Share in percent, with the points that still live; NaN without trajectories."""
        counts = self.counts if self.tracks is None else self.counts + self.tracks.count()
        return 100 * counts[0].double() / counts[1]
