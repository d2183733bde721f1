"""The engines: a line each, with what they can do, what they need and the files they write and run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EXACT = "f32"  # the precision that the others are measured by
PRECISIONS = (EXACT, "bf16", "f16")
ONNX = ("onnxruntime", "onnx", "onnxscript")


@dataclass(frozen=True)
class Runtime:
    """Where an engine lives, and everything about it that can be said without importing it.

    automatic: the kinds of device for which ``engine: auto`` tries it, in the order of the table (docs/engines.md).
    file_format: of ``vidseg export``; writer: the function of the module that makes such a file of a step; runner:
    the class that runs it.
    """

    module: str
    engine: str
    devices: tuple[str, ...] = ("cpu",)
    precisions: tuple[str, ...] = PRECISIONS
    needs: tuple[str, ...] = ()  # packages beside torch
    extra: str = ""  # of this package, which brings them
    automatic: tuple[str, ...] = ()
    file_format: str = ""
    suffix: str = ""
    writer: str = ""
    runner: str = ""


RUNTIMES = {
    "openvino": Runtime(
        "openvino", "OpenVinoEngine", precisions=("f32", "bf16"), needs=("openvino",), extra="openvino",
        automatic=("cpu",), file_format="openvino", suffix=".xml", writer="write_openvino", runner="OpenVinoFile",
    ),
    "cudagraph": Runtime("cudagraph", "CudaGraphEngine", ("cuda",), automatic=("cuda",)),
    "torch": Runtime(
        "torch", "TorchEngine", ("cpu", "cuda"), automatic=("cpu", "cuda"),
        file_format="torch-export", suffix=".pt2", writer="write_torch_export",
    ),
    "compiled": Runtime("torch", "CompiledEngine", ("cpu", "cuda")),
    "onnxruntime": Runtime(
        "onnxruntime", "OnnxRuntimeEngine", precisions=("f32",), needs=ONNX, extra="onnx",
        file_format="onnx", suffix=".onnx", writer="write_onnx", runner="OnnxFile",
    ),
    "tensorrt": Runtime(
        "onnxruntime", "TensorRtEngine", ("cuda",), needs=ONNX, extra="onnx",
        file_format="tensorrt", suffix=".trt", writer="write_tensorrt", runner="TensorRtFile",
    ),
}  # fmt: skip

FORMATS = {runtime.file_format: name for name, runtime in RUNTIMES.items() if runtime.file_format}
"""Format of ``vidseg export`` -> engine whose runtime it is."""


def engine_of_file(path: str | Path) -> str | None:
    """The engine that runs a file of ``vidseg export``, by its suffix; None for what is no such file.

    >>> engine_of_file("network.onnx")
    'onnxruntime'
    """
    runners = (name for name, runtime in RUNTIMES.items() if runtime.runner and runtime.suffix == Path(path).suffix)
    return next(runners, None)


def parts_of(path: Path) -> list[Path]:
    """The files of a model: the weights of an .xml are in the .bin beside it.

    >>> [str(file) for file in parts_of(Path("network.xml"))]
    ['network.xml', 'network.bin']
    """
    return [path, path.with_suffix(".bin")] if path.suffix == RUNTIMES["openvino"].suffix else [path]
