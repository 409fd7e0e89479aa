"""Trains a config, evaluates a run, compares balancers on a config, or writes the page of what is there.

python launch.py --config configs/quickstart.py
python launch.py --config configs/quickstart.py --workdir runs/a --config.balance='gradnorm(alpha=1.5)'
python launch.py --mode=eval --workdir runs/a
python launch.py --config configs/quickstart.py --mode=compare --methods='single;equal();pcgrad()' --seeds=3
python launch.py --config configs/scenes.py --mode=compare --methods='equal();famo()' --jobs=2 --workdir runs/c
python launch.py --workdir runs/c --mode=compare --methods='nash_mtl()'
python launch.py --config configs/adult.py --mode=compare --vary=model --methods='MMoE(MLP((64,)));PLE(MLP((64,)))'
python launch.py --mode=report --workdir runs/c
"""

import os
import signal
import sys

# Of one that was stopped: 0 where the same command goes on, but no success where figures were wanted.
_ANSWERS = {"eval", "predict", "export", "report"}
_FAILED = 143 if _ANSWERS & {word.removeprefix("--mode=") for word in sys.argv} else 0
_STATUS = {signal.SIGTERM: _FAILED, signal.SIGINT: 130}


def _leave(number: int, frame: object) -> None:
    os.write(1, f"\n{signal.Signals(number).name}: left before anything was begun.\n".encode())
    os._exit(_STATUS[signal.Signals(number)])


if __name__ == "__main__":
    for _number in _STATUS:
        signal.signal(_number, _leave)  # before the import, which takes seconds
    from mtljax import cli

    sys.exit(cli.main(sys.argv))
