"""Ways to rows of the Jacobian; and surgery without one: rows are let go, their weighted sum is pulled back anew."""

from typing import Any

import jax

from mtljax.balance import BalanceState, linearize_at
from mtljax.balance.branches import branches_pay
from mtljax.errors import UserError
from mtljax.train.step.replica import Balanced, Owners, Replica
from mtljax.train.step.shards import FSDP

_MANY = 2 << 30  # bytes of rows that are not held where they need not be


def way_of(jacobian: str) -> dict[str, Any]:
    """Whether rows of the Jacobian are computed under `vmap`, and whether they are never held (None: see `pays`).

    On the CPU, `vmap` took 1.2 times as long for the quick start's encoder (benchmarks/README.md), with T times the
    memory for what is between the layers; on a GPU, by what its compiler makes, it takes the most memory of all ways.
    """
    return {"vectorised": jacobian == "vmap", "streamed": {"streamed": True, "auto": None}.get(jacobian, False)}


def pays(balancer: Any, measure: str, accumulate: int, params: Any) -> bool:
    """Whether `jacobian='auto'` streams: on an accelerator, where it can, if rows take 2 GiB or more on a device.

    They count as T times all parameters. What was measured (benchmarks/README.md): on a CPU a streamed step takes 1.2
    to 1.4 of the time. On a GPU, by what its compiler makes of a ViT-B, rows of 1 GiB take twice the memory of a
    streamed step, and rows of 2.6 GiB four times; it is one backward pass more, to the T + 1 that there are.
    """
    can = balancer.sees == "gramian" and measure == "shared" and accumulate == 1 and not balancer.needs
    if not can or balancer.samples > 1 or branches_pay():
        return False
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    return balancer.num_tasks * held >= _MANY


def check_streams(balancer: Any, measure: str, accumulate: int, who: str = "this balancer") -> None:
    """Whether a balancer that sees gradients can do without a Jacobian.

    Raises:
        UserError: where it cannot, with what to change.
    """
    if balancer.sees != "gramian":
        raise UserError(
            f"jacobian='streamed' never holds the gradients, and {who} looks at every element of them: expected "
            "jacobian='auto', 'unrolled' or 'vmap', or a balancer that sees norms and angles, as pcgrad()."
        )
    if measure != "shared":
        raise UserError(
            f"jacobian='streamed' is a way to gradients of all shared parameters, not to measure={measure!r}: expected "
            "jacobian='auto', 'unrolled' or 'vmap', or measure='shared'."
        )
    if accumulate > 1:
        raise UserError(
            f"jacobian='streamed' with accumulate={accumulate}: gradients of parts are added up before they are looked "
            "at, and so are held. Expected jacobian='auto', 'unrolled' or 'vmap', or accumulate=1."
        )


class Streaming(Replica):
    """A replica that never holds the Jacobian, for methods that see the norms and angles of its rows.

    It takes one backward pass more, of the weighted sum. As under a loss weighting, that pass gives no number where the
    derivative of an absent task's loss is none; the update is then skipped. On an accelerator, whose compiler holds
    what many passes read, each makes again what was made element by element.

    Args:
        replica: that holds it.
    """

    def __init__(self, replica: Replica) -> None:
        self.__dict__.update(vars(replica))

    def from_shared(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        """The norms and angles of the rows, then their weighted sum."""
        inputs = (params, model_state, batch, key)
        at = linearize_at(self._losses, *inputs, has_aux=True, recompute=not branches_pay())
        losses, (present, model_state) = self._sum(at.losses), at.aux
        axis_name = None if self._shards is None else FSDP
        seen = at.gramian(vectorised=self._vectorised, each=self._counted, axis_name=axis_name)
        weights, balance = self._balancer.weigh(balance, losses=losses, gramian=seen, present=present)
        gradient = self._total(at.weighted(weights))
        return Balanced(gradient, losses, present, seen, balance, model_state, Owners.of(at.owners, params))

    def _counted(self, row: Any) -> Any:
        """This device's part of a row of all replicas, every element on one device."""
        row = self._total(row)
        return row if self._shards is None else self._shards.once(row)
