"""Training with several processes (FSDP2): every process holds a shard of each weight and of the optimiser state.

`torchrun` and `accelerate launch` set RANK, WORLD_SIZE and LOCAL_RANK. Each step uses the same batch as on one device;
its rows are divided among the processes. Losses are divided by the number of learnt tokens of the complete batch, and
gradients are summed. So the loss curve is that of one device, except for the order of summation. Adapters are FP32
with a BF16 base: FSDP2 can gather several dtypes, and only trained parameters must have the same. Only process 0
writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from quant.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")
_PATIENCE = timedelta(hours=1)
"""How long a process waits for the others, which may be writing a large training state."""


@dataclass(frozen=True)
class World:
    """The processes that train together; only one if there is no launcher."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is process 0, which writes and prints."""
        return self.rank == 0

    def total(self, tensor: Tensor) -> Tensor:
        """`tensor` summed over all processes, in place."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(tensor)
        return tensor

    def broadcast(self, value: T) -> T:
        """The `value` of process 0, broadcast to all."""
        if self.size == 1:
            return value
        import torch
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
        return box[0]

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of process 0."""
        if self.size > 1:
            import torch.distributed as dist

            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def leave(self) -> None:
        """End the communication between processes."""
        if self.size > 1:
            import torch.distributed as dist

            dist.destroy_process_group()


def join() -> World:
    """Connect with the processes of the launcher. Raises UsageError if there are too few GPUs."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    import torch
    import torch.distributed as dist

    # `accelerate launch --use_fsdp` sets it, and transformers would then leave all weights but process 0's unread.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    backend = "gloo"
    if torch.cuda.is_available():
        here = int(os.environ.get("LOCAL_WORLD_SIZE", size))
        if here > torch.cuda.device_count():
            raise UsageError(f"{here} processes for {torch.cuda.device_count()} GPUs; start one process per GPU")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    if not dist.is_initialized():
        dist.init_process_group(backend, timeout=_PATIENCE)
    return World(dist.get_rank(), dist.get_world_size())


def shard(root: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Shard the parameters of `root` in place: one group per decoder layer, and one for the rest.

    Gradients are summed, not averaged. The model's parameters become DTensors on this process's device.
    """
    import torch
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (dist.get_world_size(),))
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for module in (*layers, root):
        fully_shard(module, mesh=mesh, mp_policy=policy)
    for module in root.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo does not support a scaled sum


def unsharded(tensor: Tensor) -> Tensor:
    """The complete tensor, gathered from all processes, which must all call this; `tensor` itself if it is not
    sharded.
    """
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """This process's shard of `value`, sharded like `like`; `value` itself if `like` is not sharded."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or value.dim() == 0:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
