"""Measures one engine, in a process that it may take with it."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ferengine.errors import DeviceError
from ferengine.inference.base import Batch
from ferengine.inference.tensorrt.device import Device
from ferengine.inference.tensorrt.engine import LoadedEngine
from ferengine.inference.tensorrt.engine_file import EngineFile, load_engine, read_record
from ferengine.inference.tensorrt.open_device import open_device
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.inference.tensorrt.tensorrt import TensorRT, load_runtime
from ferengine.inference.tensorrt.types import ExecutionContext
from ferengine_tools.gpu_check.measure import Contender, Queue, Sample, check, random_crops
from ferengine_tools.gpu_check.report import Report


@contextmanager
def queued(trt: TensorRT, device: Device, plan: bytes, size: int, *, graphs: bool = True) -> Iterator[Queue]:
    """A batch of ``size`` faces on ``device``, which is closed at the end; ``graphs``: as a CUDA graph, where the device
    layer makes them."""
    with ExitStack() as undo:
        undo.callback(device.close)
        undo.enter_context(device.current())
        try:
            yield _queue(undo, trt, device, plan, size, graphs=graphs)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold contexts, which must go before the device does
            raise


def _queue(undo: ExitStack, trt: TensorRT, device: Device, plan: bytes, size: int, *, graphs: bool) -> Queue:
    engine = LoadedEngine(trt, plan, graphs=graphs)
    undo.callback(engine.close)
    stream = device.create_stream()
    undo.callback(device.destroy_stream, stream)

    def allocate(nbytes: int) -> int:
        address = device.allocate(nbytes)
        undo.callback(device.free, address)
        return address

    def upload(address: int, rows: Batch) -> None:
        pinned = device.pin(rows.nbytes)
        undo.callback(device.unpin, pinned)
        pinned.raw[:] = rows.reshape(-1).view(np.uint8)
        device.upload(address, pinned, rows.nbytes, stream)
        undo.callback(device.synchronize, stream)
        device.synchronize(stream)

    contexts = [engine.make_context()]
    undo.callback(contexts.clear)  # before its memory and its engine
    address = _prepare(engine, contexts[0], size, stream, allocate)
    upload(address, random_crops((size, *engine.profiles[0][2][1:])).astype(engine.input_dtype))

    def enqueue() -> None:
        if not contexts[0].execute_async_v3(stream):
            raise DeviceError("the engine does not run")

    enqueue()
    undo.callback(device.synchronize, stream)
    device.synchronize(stream)
    if not graphs or device.graphs is None or engine.captures_itself:
        return Queue(enqueue, partial(device.synchronize, stream))
    device.graphs.begin(stream)
    try:
        enqueue()
    finally:
        graph = device.graphs.end(stream)
        undo.callback(device.graphs.destroy, graph)
    return Queue(partial(device.graphs.launch, graph, stream), partial(device.synchronize, stream))


def _prepare(engine: LoadedEngine, context: ExecutionContext, size: int, stream: int, allocate: Callable[[int], int]) -> int:
    """Profile, shape, memory and addresses of a batch of ``size``; the address of its input."""
    fitting = [(high[0], index) for index, (low, _, high) in enumerate(engine.profiles) if low[0] <= size <= high[0]]
    if engine.scratch:
        context.set_device_memory(allocate(engine.scratch), engine.scratch)
    context.set_optimization_profile_async(min(fitting)[1], stream)
    context.set_input_shape(engine.input_name, (size, *engine.profiles[0][2][1:]))
    for name in (*engine.output_names, engine.input_name):
        kind = engine.input_dtype if name == engine.input_name else np.dtype(np.float32)
        address = allocate(kind.itemsize * math.prod(context.get_tensor_shape(name)))
        context.set_tensor_address(name, address)
    return address  # of the last


def main(
    name: Annotated[str, typer.Argument(help="What it is called in the report.")],
    engine: Annotated[Path, typer.Argument(help="Its file.")],
    sample: Annotated[Path, typer.Argument(help="Faces, as 'Sample.save' writes them.")],
    target: Annotated[Path, typer.Argument(metavar="REPORT", help="Where to write.")],
    graphs: Annotated[bool, typer.Option(help="Whether to use CUDA graphs.")] = True,
) -> None:
    """Measure one engine."""
    report = Report(target)
    record = read_record(engine.with_suffix(".json"))
    plan, trt = load_engine(EngineFile(engine, record)), load_runtime(record.runtime)
    try:
        with closing(EngineRunner(trt, open_device(), plan, graphs=graphs)) as runner:
            contender = Contender(
                name,
                lambda batch: runner.run(batch)["logits"],
                lambda size: queued(trt, open_device(), plan, size, graphs=graphs),
            )
            check(report, contender, Sample.load(sample))
    except Exception as error:  # whatever it is, it is what this engine does here
        report.problem(name, f"{type(error).__name__}: {error}")
    report.finish()


if __name__ == "__main__":
    typer.run(main)
