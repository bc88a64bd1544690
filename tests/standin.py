"""CUDA devices on a machine without one: a tensor "on cuda:N" is a CPU tensor whose storage is noted.

    with standin.gpus(2) as cuda: ...         or the fixture `cuda` of conftest.py

What CUDA refuses is refused: operands on different devices, numpy of a CUDA tensor, a CPU generator, more than `limit`
bytes. Kernels and synchronisations are counted (a copy between host and device synchronises, too, unless it is from or
to pinned memory and non-blocking). Arithmetic is the CPU's, so where the same kernels run results equal those of
device="cpu" to the bit. The mode is of the thread that enters it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from unittest import mock

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CPU, GB = torch.device("cpu"), 2**30
_T = torch.Tensor
_device_of = torch._C.TensorBase.device.__get__
_MIXED = "Expected all tensors to be on the same device, but found at least two devices"
_INDEXING = ("index", "index_put_", "_index_put_impl_", "index_put", "_unsafe_index")
_LIKE = [f"{name}_like" for name in ("zeros", "ones", "empty", "full", "rand", "randn")]
_NEW = [f"new_{name}" for name in ("zeros", "ones", "empty", "full", "tensor")]
_WAITING = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal",
    "is_nonzero", "_linalg_check_errors", "bincount", "repeat_interleave",
}  # fmt: skip


class StandIn(TorchDispatchMode):
    """count: the GPUs. free: bytes that each says are free. limit: bytes that each holds at most.

    kernels, waits: how often each operation ran, and how often it made the host wait. peak: bytes, by GPU.
    asked: how often functions of torch.cuda were called, by name and device.
    """

    def __init__(self, count: int, free: int, limit: int | None):
        super().__init__()
        self.count, self.free, self.limit = count, free, limit
        self.kernels: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.asked: Counter[tuple[str, str]] = Counter()
        self.held: Counter[int] = Counter()
        self.peak: Counter[int] = Counter()
        self._where: dict[int, tuple[StorageWeakRef, torch.device, int]] = {}
        self._pinned: dict[int, StorageWeakRef] = {}
        self._moving = False

    def of(self, tensor: torch.Tensor) -> torch.device:
        device = _device_of(tensor)
        if device.type != "cpu" or tensor.layout != torch.strided:
            return device
        found = self._where.get(tensor.untyped_storage()._cdata)
        return CPU if found is None or found[0].expired() else found[1]

    def put(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Note where a tensor's storage is; raises OutOfMemoryError where that device is full."""
        if not isinstance(tensor, _T) or _device_of(tensor) != CPU:
            return tensor
        storage = tensor.untyped_storage()
        self._forget(storage._cdata)
        if device.type == "cpu":
            return tensor
        if device.index >= self.count:
            raise RuntimeError("CUDA error: invalid device ordinal")
        self._where[storage._cdata] = (StorageWeakRef(storage), device, storage.nbytes())
        self.held[device.index] += storage.nbytes()
        most = self.peak[device.index] if self.limit is None else min(self.limit, self.peak[device.index])
        if self.held[device.index] > most:
            for key in [key for key, found in self._where.items() if found[0].expired()]:
                self._forget(key)
            if self.limit is not None and self.held[device.index] > self.limit:
                self._forget(storage._cdata)
                raise torch.OutOfMemoryError(
                    f"CUDA out of memory. Tried to allocate {storage.nbytes() / 2**20:.2f} MiB. GPU {device.index} has "
                    f"a total capacity of {self.limit / 2**20:.2f} MiB."
                )
            self.peak[device.index] = max(self.peak[device.index], self.held[device.index])
        return tensor

    def _forget(self, key: int) -> None:
        if (found := self._where.pop(key, None)) is not None:
            self.held[found[1].index] -= found[2]

    def moved(
        self, tensor: torch.Tensor, device: torch.device, dtype: torch.dtype, waits: bool
    ) -> torch.Tensor:
        if waits:
            self.waits["copy"] += 1
        self._moving = True
        try:
            return self.put(self.real_to(tensor, dtype=dtype, copy=True), device)
        finally:
            self._moving = False

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        copied = tensor.clone()
        self._pinned[copied.untyped_storage()._cdata] = StorageWeakRef(copied.untyped_storage())
        return copied

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        found = self._pinned.get(tensor.untyped_storage()._cdata)
        return found is not None and not found.expired()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func._schema.name.split("::")[1]
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, _T)]
        devices = [self.of(one) for one in tensors]
        there = [device for device in devices if device.type == "cuda"]
        if self._moving or not there:
            return func(*args, **kwargs)
        self._check(func, name, args, kwargs, tensors, there[0])
        self._count_waits(name, args, devices)
        counts = name == "histc" and not args[0].is_floating_point()  # CUDA's kernel takes integers
        out = func(args[0].double(), *args[1:]).to(args[0].dtype) if counts else func(*args, **kwargs)
        own = {
            one.untyped_storage()._cdata
            for one, device in zip(tensors, devices, strict=True)
            if device.type != "meta"
        }
        fresh = [
            one
            for one in tree_leaves(out)
            if isinstance(one, _T) and _device_of(one) == CPU and one.untyped_storage()._cdata not in own
        ]
        for one in fresh:
            self.put(one, there[0])
        if fresh or any(
            one.alias_info is not None and one.alias_info.is_write for one in func._schema.arguments
        ):
            self.kernels[name] += 1
        return out

    def _check(self, func, name, args, kwargs, tensors, device) -> None:
        """A CPU index, source or scalar operand is allowed; a CPU target is not."""
        strict = tensors
        if name == "copy_":
            strict = []
        elif name in _INDEXING:
            strict = [tensors[0], *(args[2:3] if "put" in name and args[2].dim() else [])]
        schema = zip(args, func._schema.arguments, strict=False)
        written = {id(arg) for arg, one in schema if one.alias_info is not None and one.alias_info.is_write}
        for one in strict:
            if self.of(one) != device and (one.dim() or id(one) in written or self.of(one) != CPU):
                raise RuntimeError(f"{_MIXED}, {device} and {self.of(one)}! ({func} {tuple(one.shape)})")
        drawn = kwargs.get("generator")
        if drawn is not None and getattr(drawn, "on", CPU).type != "cuda":
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' ({func})")

    def _count_waits(self, name, args, devices) -> None:
        if name in _WAITING:
            self.waits[name] += 1
        elif name in _INDEXING:
            for index in (one for one in args[1] if one is not None):
                if index.dtype in (torch.bool, torch.uint8):
                    self.waits["mask as index"] += 1
                elif self.of(index) == CPU:
                    self.waits["copy"] += 1
        elif name == "copy_" and devices[0] != devices[1]:
            pinned = any(map(self.is_pinned, args[:2]))
            self.waits["copy"] += 0 if args[2:3] == (True,) and pinned else 1


def _named(device) -> torch.device:
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return torch.device("cuda", 0) if device == torch.device("cuda") else device


def _to(cuda: StandIn):
    class Moved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, tensor, device, dtype, waits):
            ctx.back = cuda.of(tensor), tensor.dtype, waits
            return cuda.moved(tensor.detach(), device, dtype, waits)

        @staticmethod
        def backward(ctx, gradient):
            return cuda.moved(gradient, *ctx.back), None, None, None

    def to(self, *args, copy=False, **named):
        if args and isinstance(args[0], _T):
            device, dtype, form, fast = cuda.of(args[0]), args[0].dtype, None, False
        else:
            device, dtype, fast, form = torch._C._nn._parse_to(*args, **named)
        here, dtype = cuda.of(self), dtype or self.dtype
        device = here if device is None else _named(device)
        if "meta" in (here.type, device.type) or device == here:
            own = {"memory_format": form} if form else {}
            return cuda.real_to(self, device if device.type == "meta" else CPU, dtype, copy=copy, **own)
        waits = not (fast and cuda.is_pinned(self))
        if self.requires_grad and torch.is_grad_enabled():
            return Moved.apply(self, device, dtype, waits)
        return cuda.moved(self, device, dtype, waits)

    return to


def _making(cuda: StandIn, function):
    def made(*args, **named):
        if named.get("device") is None or _named(named["device"]).type == "meta":
            return function(*args, **named)
        device = _named(named["device"])
        if (drawn := named.get("generator")) is not None and getattr(drawn, "on", CPU).type != device.type:
            raise RuntimeError(f"Expected a '{device.type}' device type for generator but found another")
        out = function(*args, **named | {"device": "cpu"})
        if device.type == "cuda":
            copies = function.__name__ in ("tensor", "as_tensor", "asarray", "new_tensor")
            (cuda.waits if copies else cuda.kernels)["copy" if copies else function.__name__] += 1
            out = out.clone() if copies else out
        return cuda.put(out, device)

    made.__name__ = function.__name__
    return made


def _refusing(cuda: StandIn, method):
    def called(self, *args, **named):
        if cuda.of(self) != CPU:
            raise TypeError(f"can't convert {cuda.of(self)} device type tensor to numpy.")
        return method(self, *args, **named)

    return called


class _Generator(torch._C.Generator):
    def __new__(cls, device="cpu"):
        own = super().__new__(cls, "cpu")
        own.on = _named(device)
        return own


class _Stream:
    """A stream or an event, on a device where everything is done in its order."""

    def __init__(self, *_, **__):
        pass

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


def _tensor_methods(cuda: StandIn) -> dict[str, object]:
    to, deepcopy, tolist = _to(cuda), _T.__deepcopy__, _T.tolist

    def listed(self):
        return tolist(to(self, "cpu"))

    return {
        "to": to,
        "cpu": lambda self, *_: to(self, "cpu"),
        "cuda": lambda self, device=0, **_: to(self, _named(device)),
        "device": property(cuda.of),
        "is_cuda": property(lambda self: cuda.of(self).type == "cuda"),
        "is_cpu": property(lambda self: cuda.of(self).type == "cpu"),
        "numpy": _refusing(cuda, _T.numpy),
        "__array__": _refusing(cuda, _T.__array__),
        "__deepcopy__": lambda self, memo: cuda.put(deepcopy(self, memo), cuda.of(self)),
        "tolist": listed,
        "pin_memory": lambda self, *_: cuda.pin(self),
        "is_pinned": lambda self, *_: cuda.is_pinned(self),
        **{name: _making(cuda, getattr(_T, name)) for name in _NEW},
    }


def _functions_of_cuda(cuda: StandIn) -> dict[str, object]:
    def said(name, value):
        def function(device=0, *_, **__):
            cuda.asked[name, str(_named(0 if device is None else device))] += 1
            return value(_named(0 if device is None else device).index) if callable(value) else value

        return function

    free = lambda number: max(0, min(cuda.free, cuda.limit or cuda.free) - cuda.held[number])  # noqa: E731
    values = {
        "is_available": True, "device_count": cuda.count, "current_device": 0, "is_initialized": True,
        "is_bf16_supported": True, "get_device_name": lambda number: f"Stand-in {number}",
        "get_device_capability": (9, 0), "mem_get_info": lambda number: (free(number), cuda.free),
        "memory_reserved": lambda number: cuda.held[number], "max_memory_allocated": lambda number: cuda.peak[number],
        "reset_peak_memory_stats": lambda number: cuda.peak.pop(number, None), "memory_allocated": 0,
        "synchronize": None, "empty_cache": None, "manual_seed_all": None, "_lazy_init": None,
    }  # fmt: skip
    streams = {
        "device": lambda _: contextlib.nullcontext(),
        "stream": lambda _: contextlib.nullcontext(),
        "Stream": _Stream,
        "Event": _Stream,
        "current_stream": _Stream,
    }
    return {name: said(name, value) for name, value in values.items()} | streams


@contextlib.contextmanager
def gpus(count: int = 2, free: int = 80 * GB, limit: int | None = None) -> Iterator[StandIn]:
    """Inside, torch has so many CUDA devices."""
    cuda = StandIn(count, free, limit)
    cuda.real_to = _T.to
    makers = {
        function.__name__: function
        for function in [*_device_constructors(), *(getattr(torch, name) for name in _LIKE)]
        if getattr(torch, getattr(function, "__name__", ""), None) is function
    }
    with contextlib.ExitStack() as patches:
        for owner, values in (
            (_T, _tensor_methods(cuda)),
            (torch, {name: _making(cuda, function) for name, function in makers.items()}),
            (torch, {"Generator": _Generator}),
            (torch.cuda, _functions_of_cuda(cuda)),
            (torch.autocast, {"__init__": _autocast_init()}),
        ):
            for name, value in values.items():
                patches.enter_context(mock.patch.object(owner, name, value))
        with cuda:
            yield cuda


def _autocast_init():
    real = torch.autocast.__init__

    def init(self, device_type, *args, **named):
        real(self, "cpu" if device_type == "cuda" else device_type, *args, **named)

    return init
