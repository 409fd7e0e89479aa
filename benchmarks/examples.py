"""What a loss for each example costs: a step that balances B rows, beside one on the mean of the same B losses.

`python benchmarks/examples.py`: a perceptron of 0.1 million parameters, rows in one pass and one after the other, which
takes minutes to compile from 32 examples on; the least of some runs each.
"""

import argparse
import functools
import itertools
import time

import jax
import jax.numpy as jnp

import mtljax as mtl

SIZES = (784, 128, 10)
METHODS = ("equal", "mgda", "upgrad", "pcgrad", "cagrad")


def loss_of(params, image, label):
    """The loss of one example."""
    for weights in params[:-1]:
        image = jax.nn.relu(image @ weights)
    return -jax.nn.log_softmax(image @ params[-1])[label]


def made(number):
    """Parameters, and a batch of so many examples."""
    keys = jax.random.split(jax.random.key(0), len(SIZES))
    shapes = itertools.pairwise(SIZES)
    params = [jax.random.normal(key, shape) / shape[0] ** 0.5 for key, shape in zip(keys, shapes, strict=False)]
    return params, jax.random.normal(keys[-1], (number, SIZES[0])), jnp.arange(number) % SIZES[-1]


def on_mean(params, images, labels):
    """The gradient of the mean loss."""
    return jax.grad(lambda p: jnp.mean(jax.vmap(loss_of, (None, 0, 0))(p, images, labels)))(params)


def at_once(params, images, labels):
    """The losses, and a row an example, in one pass."""
    return jax.vmap(jax.value_and_grad(loss_of), (None, 0, 0))(params, images, labels)


def in_turn(params, images, labels):
    """The losses, and a row an example, one backward pass after the other."""
    losses_fn = mtl.value_and_jacobian(lambda p: jax.vmap(loss_of, (None, 0, 0))(p, images, labels))
    return losses_fn(params)


WAYS = {"one pass": at_once, "in turn": in_turn}


def balanced(method, rows_of, params, images, labels):
    """The direction that a method makes of a row an example."""
    losses, rows = rows_of(params, images, labels)
    balancer = getattr(mtl, method)(len(labels))
    return balancer.update(rows, balancer.init(params), params, losses=losses)[0]


def seconds(function, *arguments):
    """The least time of a call, once compiled."""
    jax.block_until_ready(function(*arguments))
    found = []
    for _ in range(20):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        found.append(time.perf_counter() - begin)
    return min(found)


def main():
    """Prints a row for each batch size and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    arguments = parser.parse_args()
    print(f"examples       rows  mean, ms  {'  '.join(f'{m:>8}' for m in arguments.methods)}  (times of the mean's)")
    for number, (way, rows_of) in itertools.product(arguments.sizes, WAYS.items()):
        given = made(number)
        plain = seconds(jax.jit(on_mean), *given)
        steps = [jax.jit(functools.partial(balanced, method, rows_of)) for method in arguments.methods]
        ratios = [seconds(step, *given) / plain for step in steps]
        print(f"{number:8}  {way:>9}  {1000 * plain:8.2f}  {'  '.join(f'{r:8.1f}' for r in ratios)}", flush=True)


if __name__ == "__main__":
    main()
