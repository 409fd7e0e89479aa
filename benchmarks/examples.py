"""What a loss for each example costs: a step that balances B rows, beside one on the mean of the same B losses.

`python benchmarks/examples.py`: a perceptron of 0.1 million parameters; the least of some runs each.
"""

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


def balanced(method, params, images, labels):
    """The direction that a method makes of a row an example."""
    losses, rows = jax.vmap(jax.value_and_grad(loss_of), (None, 0, 0))(params, images, labels)
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
    """Prints a row a batch size."""
    print(f"examples  mean, ms  {'  '.join(f'{method:>8}' for method in METHODS)}  (times of the mean's)")
    for number in (8, 32, 128):
        given = made(number)
        plain = seconds(jax.jit(on_mean), *given)
        ratios = [seconds(jax.jit(lambda *a, m=m: balanced(m, *a)), *given) / plain for m in METHODS]
        print(f"{number:8}  {1000 * plain:8.2f}  {'  '.join(f'{ratio:8.1f}' for ratio in ratios)}", flush=True)


if __name__ == "__main__":
    main()
