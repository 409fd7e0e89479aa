"""Programs that start at once: each is a fork of one process that has imported what takes seconds, and is else on its own.

Whether a program imports all that it needs is not seen so: some tests start it afresh.
"""

import atexit
import contextlib
import importlib
import itertools
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import weakref

OPTIONS = ["-W", "error::DeprecationWarning:mtljax"]
# What runs import sooner or later.
IMPORTED = (
    "mtljax.cli",
    "mtljax.fitting",
    "mtljax.studies",
    "mtljax.train.run.loop",
    "grain",
    "matplotlib.backends.backend_agg",
    "tensorboardX",
)

STARTED = weakref.WeakSet()  # children of tests


def kill_left():
    """Ends the children that a failed test has left: they would run on, and a warning of them fail another test."""
    for process in list(STARTED):
        process.kill()
        with contextlib.suppress(ValueError):  # what has been read to its end is closed
            process.communicate()
    STARTED.clear()


class Forked:
    """A program that runs: as `subprocess.Popen`, as far as tests ask it.

    Args:
        server: of which it is a fork.
        pid: of its process.
        files: that it prints into: standard output, and standard error.
    """

    def __init__(self, server, pid, files):
        self._server, self.pid, self._files, self.returncode = server, pid, files, None

    def poll(self):
        if self.returncode is None:
            self.returncode = self._server.ask({"wait": self.pid})
        return self.returncode

    def wait(self, timeout=None):
        begin = time.monotonic()
        while self.poll() is None:
            if timeout is not None and time.monotonic() - begin > timeout:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.02)
        return self.returncode

    def communicate(self, timeout=None):
        self.wait(timeout)
        return tuple(file.read_text() for file in self._files)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Server:
    """The process that is forked.

    Args:
        environment: of it. What is given for a program is added, but JAX's settings have been read here.
    """

    def __init__(self, environment):
        root = pathlib.Path(__file__).parent.parent
        command, options = [sys.executable, *OPTIONS, "-m", "tests.forks"], {"cwd": root, "text": True}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, env=environment, **pipes, **options)
        self._folder, self._number = tempfile.TemporaryDirectory(prefix="mtljax-forks-"), itertools.count()
        atexit.register(self._end)

    def ask(self, command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def run(self, arguments, environment):
        """Runs a program: a script or a module, and what it is given."""
        name = pathlib.Path(self._folder.name) / str(next(self._number))
        files = [name.with_suffix(suffix) for suffix in (".out", ".err")]
        pid = self.ask({"arguments": arguments, "environment": environment, "files": [str(file) for file in files]})
        STARTED.add(process := Forked(self, pid, files))
        return process

    def _end(self):
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # it takes that as its end
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()


def _serve():
    """Answers each line of JSON with one; in a child that is to run a program, returns that and its arguments."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which the test gets too
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            pid, status = os.waitpid(command["wait"], os.WNOHANG)
            reply = os.waitstatus_to_exitcode(status) if pid else None
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that there are threads, which libraries hold while they wait
                reply = os.fork()
            if reply == 0:
                return _alone(**command)
        print(json.dumps(reply), flush=True)
    os._exit(0)


def _alone(arguments, environment, files):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    opened = [os.open(os.devnull, os.O_RDONLY), *(os.open(file, os.O_WRONLY | os.O_CREAT, 0o666) for file in files)]
    for descriptor, own in enumerate(opened):
        os.dup2(own, descriptor)
        os.close(own)
    sys.stdin = os.fdopen(0, closefd=False)
    return arguments


if __name__ == "__main__":
    for module in IMPORTED:
        importlib.import_module(module)
    sys.argv = _serve()
    (runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module)(sys.argv[0], run_name="__main__")
