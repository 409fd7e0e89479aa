"""The same training step in mtljax, in PyTorch, in TorchJD's ways and in LibMTL's, in turns in one run.

python benchmarks/peers.py                       # PyTorch's side where `torch` and `torchjd` are installed beside
python benchmarks/peers.py --methods=plain,upgrad --busy

A ResNet of 2.8 million parameters with three dense heads (classes, depth, normals), images of 64 x 64, batches of 8 of
random numbers, plain gradient descent. Both networks have the same parameters, under the same names, and are checked to
give the same losses and the same gradient before anything is timed. In LibMTL's way every task's backward pass fills
`.grad`, which is copied to a row of a matrix and back; its PCGrad works on whole gradients, and what its other methods
solve is solved by TorchJD's, which have it from the same authors' code. Medians over turns; ratios are to mtljax.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import machine
import numpy as np
import optax
from balancers import medians
from flax import traverse_util

import mtljax as mtl
from mtljax.train.config.experiment import balancer_of

TASKS = {"segment": 13, "depth": 1, "normals": 3}
WIDTH, DECODER, SIZE, BATCH, RATE = 48, 32, 64, 8, 1e-3
# A method -> ours, as a config names it, with the arguments that TorchJD's has in `balancers.py`.
METHODS = {"plain": "", "pcgrad": "pcgrad()", "upgrad": "upgrad()", "nash_mtl": "nash_mtl()", "cagrad": "cagrad(c=0.4)"}


def drawn() -> dict[str, np.ndarray]:
    """A batch."""
    rng, shape = np.random.default_rng(0), (BATCH, SIZE, SIZE)
    normals = rng.normal(size=(*shape, 3)).astype(np.float32)
    return {
        "image": rng.uniform(size=(*shape, 3)).astype(np.float32),
        "segment": rng.integers(TASKS["segment"], size=shape, dtype=np.int32),
        "depth": rng.uniform(1, 10, size=(*shape, 1)).astype(np.float32),
        "normals": normals / np.linalg.norm(normals, axis=-1, keepdims=True),
    }


class Ours:
    """The steps in mtljax, each on parameters of its own; the plain one again with each of XLA's options given."""

    def __init__(self, batch: dict[str, np.ndarray], options: Sequence[str]) -> None:
        self._batch, self._options = jax.device_put(batch), options
        encoder = mtl.encoders.ResNet(depth=10, width=WIDTH, norm="group", stem="patch2")
        heads = {name: mtl.heads.Dense(channels, width=DECODER) for name, channels in TASKS.items()}
        self._model = mtl.MultiTask(encoder, heads)
        params = jax.jit(self._model.init)(jax.random.key(0), self._batch["image"])["params"]
        # Blocks begin as the identity, through which no gradient of theirs would be compared.
        rng = np.random.default_rng(1)
        self.params = jax.tree.map(lambda x: x + 0.02 * rng.normal(size=x.shape).astype(np.float32), params)

    def losses(self, params: Any, batch: Any) -> tuple[jax.Array, ...]:
        """Of the three tasks."""
        found = self._model.apply({"params": params}, batch["image"], train=True)
        entropy = optax.softmax_cross_entropy_with_integer_labels(found["segment"], batch["segment"])
        lengths = jnp.sqrt(jnp.sum(found["normals"] ** 2, axis=-1, keepdims=True) + 1e-6)
        cosine = jnp.sum(found["normals"] / lengths * batch["normals"], axis=-1)
        return entropy.mean(), jnp.abs(jax.nn.softplus(found["depth"]) - batch["depth"]).mean(), (1 - cosine).mean()

    def gradient(self, params: Any, batch: Any) -> tuple[Any, Any]:
        """The losses, and the gradient of their sum."""

        def added(params: Any) -> tuple[Any, Any]:
            losses = self.losses(params, batch)
            return sum(losses), losses

        gradient, losses = jax.grad(added, has_aux=True)(params)
        return losses, gradient

    def steps(self, method: str) -> dict[str, Callable[[], None]]:
        """The steps of a method, by way; of `plain` there is one."""

        def plain(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
            return self.gradient(params, batch)[1], state

        if method == "plain":
            options = {"mtljax": {}} | {text: _of_compiler(text) for text in self._options}
            return {name: self._step(optax.identity(), plain, chosen) for name, chosen in options.items()}
        balancer = balancer_of(METHODS[method], len(TASKS), seed=0)

        def rows(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
            losses, jacobian = mtl.value_and_jacobian(self.losses)(params, batch)
            return balancer.update(jacobian, state, params, losses=losses)

        def streamed(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
            losses, at = mtl.linearize(self.losses)(params, batch)
            weights, state = balancer.weigh(state, losses=losses, gramian=at.gramian())
            return at.weighted(weights), state

        return {"mtljax": self._step(balancer, rows), "mtljax, streamed": self._step(balancer, streamed)}

    def _step(self, balancer: Any, gradient: Callable[..., tuple[Any, Any]], options: Any = None) -> Callable[[], None]:
        descent = optax.sgd(RATE)

        def step(params: Any, states: tuple[Any, Any], batch: Any) -> tuple[Any, tuple[Any, Any]]:
            found, balance = gradient(params, states[0], batch)
            updates, rest = descent.update(found, states[1], params)
            return optax.apply_updates(params, updates), (balance, rest)

        params = jax.tree.map(jnp.copy, self.params)
        held = [params, (balancer.init(params), descent.init(params))]
        compiled = jax.jit(step, donate_argnums=(0, 1)).lower(*held, self._batch).compile(options)

        def call() -> None:
            held[:] = compiled(*held, self._batch)
            jax.block_until_ready(held)

        return call


def _of_compiler(text: str) -> dict[str, Any]:
    """XLA's options of `name=value,...`: JAX takes bools for bools."""
    pairs = (option.split("=") for option in text.split(","))
    return {name: {"true": True, "false": False}.get(value, value) for name, value in pairs}


def same_network(ours: Ours, peers: Any, batch: dict[str, np.ndarray]) -> None:
    """Stops where the two networks differ, in number of parameters, losses or gradient."""
    number, losses, stem = peers.summed()
    assert number == sum(leaf.size for leaf in jax.tree.leaves(ours.params))
    found, gradient = jax.jit(ours.gradient)(ours.params, batch)
    np.testing.assert_allclose(found, losses, rtol=1e-4)
    np.testing.assert_allclose(gradient["encoder"]["stem"]["kernel"], stem, atol=1e-3 * np.abs(stem).max())
    print(f"the same {number:,} parameters, losses and gradient", flush=True)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(METHODS), help="with commas between them")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help=machine.BUSY)
    parser.add_argument("--channels_last", action="store_true", help="PyTorch's images and kernels as Flax's lie")
    parser.add_argument("--options", nargs="+", default=(), help="of XLA, a plain step more for each: name=value,...")
    flags = parser.parse_args()
    clock = machine.clock_of(flags.busy)
    batch = drawn()
    ours, peers = Ours(batch, flags.options), None
    try:
        import peers_torch
    except ImportError as error:
        print(f"mtljax alone: {error}")
    else:
        peers_torch.torch.set_num_threads(len(os.sched_getaffinity(0)))
        params = traverse_util.flatten_dict(jax.tree.map(np.asarray, ours.params), sep=".")
        peers = peers_torch.Peers((WIDTH, DECODER, TASKS, params), batch, RATE, flags.channels_last)
        same_network(ours, peers, batch)
    print(f"{machine.described()}; {len(os.sched_getaffinity(0))} threads; load {os.getloadavg()[0]:.1f}")
    print(f"{'method':<10}{'way':<44}{'ms':>8}{'/ mtljax':>10}")
    for method in flags.methods.split(","):
        steps = ours.steps(method) | (peers.steps(method) if peers else {})
        found = medians(steps, flags.turns, clock)
        for way, seconds in found.items():
            print(f"{method:<10}{way:<44}{1e3 * seconds:>8.0f}{seconds / found['mtljax']:>10.2f}", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
