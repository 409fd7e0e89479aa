"""Whether a balancer fits what the config says of how gradients come about."""

from mtljax import balance
from mtljax.balance import MEASURES
from mtljax.errors import UserError, unknown
from mtljax.train.config.default import RunConfig, balance_told
from mtljax.train.spread import parallel
from mtljax.train.step.streaming import check_streams


def check_measure(config: RunConfig, balancer: balance.Balancer, spread: parallel.Spread) -> None:
    """Whether a balancer works with what the config measures, and with how the batch is divided.

    Raises:
        UserError: where it does not.
    """
    if config.measure not in MEASURES:
        raise unknown("measure", config.measure, MEASURES)
    if balancer.sees != "losses" and config.measure not in balancer.measures:
        raise UserError(
            f"{balance_told(config)} works with measure={' or '.join(balancer.measures)}, not {config.measure!r}."
        )
    if balancer.needs and config.accumulate > 1:
        raise UserError(
            f"{balance_told(config)} needs a {balancer.needs}, which accumulate={config.accumulate} cannot divide; "
            "expected accumulate=1."
        )
    for number, who in (
        (balancer.samples, balance_told(config)),
        (config.accumulate, f"accumulate={config.accumulate}"),
    ):
        if config.batch_size % (spread.num_devices * number):
            raise UserError(
                f"batch_size={config.batch_size}: {who} splits what each of the {spread.num_devices} devices gets in "
                f"{number}; expected a multiple of {spread.num_devices * number}."
            )


def check_jacobian(config: RunConfig, balancer: balance.Balancer) -> None:
    """Whether rows of the Jacobian can be computed as the config says.

    Raises:
        UserError: where they cannot.
    """
    if config.jacobian == "streamed" and balancer.sees != "losses":
        check_streams(balancer, config.measure, config.accumulate, balance_told(config))
    if config.jacobian == "vmap":
        try:
            balance.check_vectorised()
        except ValueError as error:
            raise UserError(f"jacobian='vmap': {error}") from error
