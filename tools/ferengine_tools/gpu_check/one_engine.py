"""Measures one engine, in a process that it may take with it."""

from __future__ import annotations

import argparse
import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from ferengine.errors import DeviceError
from ferengine.inference.tensorrt.device import Device
from ferengine.inference.tensorrt.engine import LoadedEngine
from ferengine.inference.tensorrt.engine_file import EngineFile, load_engine, read_record
from ferengine.inference.tensorrt.open_device import open_device
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.inference.tensorrt.tensorrt import TensorRT, load_runtime
from ferengine.inference.tensorrt.types import ExecutionContext
from ferengine_tools.gpu_check.measure import Contender, Queue, Sample, check
from ferengine_tools.gpu_check.report import Report


@contextmanager
def queued(trt: TensorRT, device: Device, plan: bytes, size: int, *, graphs: bool = True) -> Iterator[Queue]:
    """A batch of ``size`` faces on ``device``, which is closed at the end; ``graphs``: as a CUDA graph, where the device
    layer makes them."""
    with ExitStack() as undo:
        undo.callback(device.close)
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

    contexts = [engine.make_context()]
    undo.callback(contexts.clear)  # before its memory and its engine
    _prepare(engine, contexts[0], size, stream, allocate)

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


def _prepare(engine: LoadedEngine, context: ExecutionContext, size: int, stream: int, allocate: Callable[[int], int]) -> None:
    """Profile, shape, memory and addresses of a batch of ``size``."""
    fitting = [(high[0], index) for index, (low, _, high) in enumerate(engine.profiles) if low[0] <= size <= high[0]]
    if engine.scratch:
        context.set_device_memory(allocate(engine.scratch), engine.scratch)
    context.set_optimization_profile_async(min(fitting)[1], stream)
    context.set_input_shape(engine.input_name, (size, *engine.profiles[0][2][1:]))
    for name in (engine.input_name, *engine.output_names):
        context.set_tensor_address(name, allocate(4 * math.prod(context.get_tensor_shape(name))))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ferengine_tools.gpu_check.one_engine", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("engine", type=Path)
    parser.add_argument("sample", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--no-graphs", action="store_true")
    options = parser.parse_args(arguments)
    report = Report(options.report)
    record = read_record(options.engine.with_suffix(".json"))
    plan, trt, graphs = load_engine(EngineFile(options.engine, record)), load_runtime(record.runtime), not options.no_graphs
    try:
        with closing(EngineRunner(trt, open_device(), plan, graphs=graphs)) as runner:
            contender = Contender(
                options.name,
                lambda batch: runner.run(batch)["logits"],
                lambda size: queued(trt, open_device(), plan, size, graphs=graphs),
            )
            check(report, contender, Sample.load(options.sample))
    except Exception as error:  # whatever it is, it is what this engine does here
        report.problem(options.name, f"{type(error).__name__}: {error}")
    report.finish()


if __name__ == "__main__":
    main()
