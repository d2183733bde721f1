"""The labels that a run has computed, on disk frame by frame, so that a killed run need not compute them again."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from vidseg_ros.engines import Engine
from vidseg_ros.files import write_atomic, writing
from vidseg_ros.io.frame import Frame
from vidseg_ros.stream import FrameStream, StreamConfig

SNAPSHOT_EVERY = 50  # frames between two states of the network from which a run can go on
HEAD = struct.Struct("<II")  # size and checksum of what follows
ABOUT = struct.Struct("<IIId")  # size of the reason, height, width, milliseconds; the reason and the labels follow
FILE, STATE = "labels.journal", "state.safetensors"


@dataclass(frozen=True)
class Entry:
    """The answer to one frame: ids uint8 (H, W), why the past was forgotten before it or "", and how long it took."""

    labels: NDArray[np.uint8]
    reset: str
    model_ms: float

    def pack(self) -> bytes:
        """The entry as bytes that tell whether they are whole."""
        reason = self.reset.encode()
        labels = zlib.compress(np.ascontiguousarray(self.labels).tobytes(), 1)
        body = ABOUT.pack(len(reason), *self.labels.shape, self.model_ms) + reason + labels
        return HEAD.pack(len(body), zlib.crc32(body)) + body

    @classmethod
    def unpack(cls, body: bytes) -> Entry:
        """The entry of which ``body`` is what ``pack`` put behind the head. Raises ValueError where it is none."""
        try:
            length, height, width, model_ms = ABOUT.unpack_from(body)
            reason, labels = body[ABOUT.size :][:length], zlib.decompress(body[ABOUT.size + length :])
        except (struct.error, zlib.error) as error:
            raise ValueError(f"no entry of a journal ({error})") from error
        return cls(np.frombuffer(labels, np.uint8).reshape(height, width).copy(), reason.decode(), model_ms)


class Journal:
    """Entries in the folder ``path``, which another run may have left: ``replay`` gives those back, then ``append``.

    Only entries up to the last snapshot of the network's state count; ``state`` is that snapshot.
    """

    def __init__(self, path: Path) -> None:
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        self._path, self._count = path, 0
        self.state: Any = None
        self.known = self._load_state()
        ends = [end for end, _ in self._entries()][: self.known]
        if len(ends) < self.known:  # the journal is shorter than the snapshot says: begin anew
            self.state, self.known, ends = None, 0, []
        with writing(path / FILE):
            self._file = (path / FILE).open("r+b" if (path / FILE).exists() else "w+b")
            self._file.truncate(ends[-1] if ends else 0)
            self._file.seek(0, 2)

    def replay(self) -> Iterator[Entry]:
        """Read the entries of the run before."""
        for number, (_, entry) in enumerate(self._entries()):
            if number == self.known:
                return
            self._count += 1
            yield entry

    def append(self, entry: Entry, state: Any) -> None:
        """Add an entry, and now and then the ``state`` of the network behind it: arrays or tensors."""
        with writing(self._path / FILE):
            self._file.write(entry.pack())
            self._count += 1
            if self._count % SNAPSHOT_EVERY == 0:
                self._file.flush()
        if self._count % SNAPSHOT_EVERY == 0:
            self._save_state(state)

    def close(self) -> None:
        """Close the file; what it holds stays."""
        with writing(self._path / FILE):
            self._file.close()

    def _entries(self) -> Iterator[tuple[int, Entry]]:
        """Read entries and where they end, up to the first that is cut."""
        if not (self._path / FILE).exists():
            return
        with (self._path / FILE).open("rb") as file:
            left = (self._path / FILE).stat().st_size
            while len(head := file.read(HEAD.size)) == HEAD.size:
                size, checksum = HEAD.unpack(head)
                left -= HEAD.size + size
                if left < 0 or zlib.crc32(body := file.read(size)) != checksum:
                    return
                try:
                    entry = Entry.unpack(body)
                except ValueError:  # zeros, which a crash of the machine leaves: their checksum is 0
                    return
                yield file.tell(), entry

    def _save_state(self, state: Any) -> None:
        arrays = all(isinstance(part, np.ndarray) for part in state or [])
        tensors = {f"{i:04}": torch.as_tensor(part).cpu().contiguous() for i, part in enumerate(state or [])}
        about = {"count": str(self._count), "kind": "numpy" if arrays else "torch"}
        about["checksum"] = _checksum(about, tensors)
        write_atomic(self._path / STATE, save(tensors, about))

    def _load_state(self) -> int:
        """Read the snapshot; returns behind how many entries it was taken."""
        try:
            with safe_open(self._path / STATE, framework="pt") as file:  # type: ignore[no-untyped-call]
                about = file.metadata()
                tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            if about["checksum"] != _checksum(about, tensors):
                return 0
            arrays, count = about["kind"] == "numpy", int(about["count"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):  # not there, or damaged
            return 0
        self.state = [part.numpy() for part in tensors.values()] if arrays else tuple(tensors.values())
        return count


def _checksum(about: Mapping[str, str], tensors: dict[str, torch.Tensor]) -> str:
    return str(zlib.crc32(f"{about['count']} {about['kind']}".encode(), zlib.crc32(save(tensors))))


class JournaledStream:
    """A ``FrameStream`` that takes the labels of a killed run from its journal, and computes what is missing."""

    def __init__(self, engine: Engine, config: StreamConfig, folder: Path) -> None:
        self._stream = FrameStream(engine, config)
        self._journal = Journal(folder)
        self._known = self._journal.replay()
        self._left = self._journal.known

    def step(self, frame: Frame) -> Entry:
        """Segment the next frame."""
        if self._left:
            self._left -= 1
            entry = next(self._known)
            if not self._left:
                self._stream.resume(frame, self._on_device(self._journal.state))
        else:
            result = self._stream.segment(frame)
            entry = Entry(result.labels, result.reset, result.model_ms)
            self._journal.append(entry, self._stream.state)
        return entry

    def _on_device(self, state: object) -> object:
        device = getattr(self._stream.engine, "device", None)
        return tuple(part.to(device) for part in state) if isinstance(state, tuple) else state

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()
