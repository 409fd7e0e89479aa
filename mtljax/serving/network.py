"""The network of a run as its workdir holds it, and its predictions of what it is given, batch after batch."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from mtljax.data.pipeline import collate, in_unit_range
from mtljax.errors import UserError, unknown
from mtljax.models import INITIAL, PENALTIES
from mtljax.models.pure import asks_for
from mtljax.models.sharing.base.tasked import Tasked
from mtljax.tasks import Task
from mtljax.train.config import checks, experiment, objects
from mtljax.train.config.default import RunConfig, checked
from mtljax.train.run import difference, inputs_file
from mtljax.train.run.checkpoint import folder_of, none_there, restore_variables

Example = dict[str, Any]  # `image` or `inputs` of one example, NumPy


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained model, with what is needed to ask it.

    Attributes:
        model: the Flax module.
        variables: as `model.apply` takes them, on a device.
        tasks: name -> task; all of the run.
        inputs: what it is given and was taught, as `mtljax.train.run.inputs_file.described` has it.
        step: of the checkpoint.
        names: of the tasks that are asked.
        by_frame: whether frames are given one by one, though the run was given clips.
        programs: what has been compiled.
    """

    model: Any
    variables: Mapping[str, Any]
    tasks: Mapping[str, Task]
    inputs: Mapping[str, Any]
    step: int
    names: tuple[str, ...] = ()
    by_frame: bool = False
    programs: dict[Any, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    def asked(self, names: Sequence[str] | None = None, *, clips: bool = False) -> "Network":
        """The same network, asked for some of its tasks, in the order of the run; by default for all but `untold`.

        Where none of them looks at more than one frame, it takes single images, unless `clips` are wanted.

        Raises:
            UserError: for a task that the run has not, or one of `untold`.
        """
        for name in names or ():
            if name not in self.tasks:
                raise unknown("task of this run", name, self.tasks)
            if name in self.untold:
                raise UserError(f"task {name!r} cannot be asked of images alone: {self.untold[name]}")
        chosen = tuple(name for name in self.tasks if (name in names if names else name not in self.untold))
        if not chosen:
            raise UserError(f"no task of this run can be asked of images alone: {next(iter(self.untold.values()))}")
        return dataclasses.replace(self, names=chosen, by_frame=not clips and self._sees_frames_apart(chosen))

    @property
    def comparing(self) -> tuple[str, ...]:
        """Those of the tasks that are asked which want the frames of a clip together."""
        return tuple(name for name in self.names if not self._sees_frames_apart((name,)))

    @property
    def looking_ahead(self) -> tuple[str, ...]:
        """Those of the tasks that are asked which tell of a frame and the next: of a clip's last frame, nothing."""
        heads = getattr(self.model, "heads", None) or {}
        return tuple(name for name in self.names if getattr(heads.get(name), "looks_ahead", False))

    @property
    def untold(self) -> Mapping[str, str]:
        """Task -> why it cannot be asked: what it reads beside images, such as where the camera was, is not known."""
        if "untold" not in self.programs:
            found = {}
            for name, task in self.tasks.items():
                if task.decode is not None and any(asks_for(part, "camera") for part in self._parts((name,))):
                    try:
                        jax.eval_shape(
                            dataclasses.replace(self, names=(name,)).apply, self.variables, self.batch_of_one
                        )
                    except UserError as error:
                        found[name] = str(error)
            self.programs["untold"] = found
        return self.programs["untold"]

    def _parts(self, names: tuple[str, ...]) -> list[Any]:
        """The parts of the model that tasks need; none where it does not tell."""
        heads = getattr(self.model, "heads", None)
        if not isinstance(self.model, Tasked) or heads is None:
            return []
        return [self.model.encode, *(heads[name] for name in self.model.in_order(names))]

    def _sees_frames_apart(self, names: tuple[str, ...]) -> bool:
        parts = self._parts(names)
        compare = (asks_for(part, "frames") and not getattr(part, "sees_frames_apart", False) for part in parts)
        return bool(parts) and not any(compare)

    @property
    def batch_of_one(self) -> Any:
        """The shapes of a batch of one example."""
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), self.given)

    @property
    def intrinsics(self) -> Any:
        """Of the run's first camera, (3, 3), where a task that is asked looks at a camera; else None."""
        known, parts = self.inputs["intrinsics"], self._parts(self.names)
        if known is None or not parts or any(asks_for(part, "camera") for part in parts):
            return known
        return known if self._decodes_by_camera() else None

    def _decodes_by_camera(self) -> bool:
        """Whether what a task that is asked reads from its prediction depends on the camera."""
        key = "camera", self.names, self.by_frame
        if key not in self.programs:
            self.programs[key] = False
            if any(self.tasks[name].decode is not None for name in self.names):
                try:
                    jax.eval_shape(functools.partial(self._applied, intrinsics=None), self.variables, self.batch_of_one)
                except KeyError as error:
                    self.programs[key] = error.args == ("camera",)
        return self.programs[key]

    @property
    def given(self) -> Any:
        """Key -> the tree of arrays that one example is, as shapes: `image` (s, H, W, C) or (F,), or `inputs`."""
        shapes = inputs_file.shapes(self.inputs["given"])
        image = shapes.get("image")
        if self.by_frame and image is not None and len(image.shape) == 4:
            shapes["image"] = jax.ShapeDtypeStruct((1, *image.shape[1:]), image.dtype)
        return shapes

    @property
    def frames(self) -> int | None:
        """How many frames a clip has, 1 for images; None where no pictures are given."""
        image = self.given.get("image")
        return image.shape[0] if image is not None and len(image.shape) == 4 else None

    def apply(self, variables: Any, given: Any) -> dict[str, Any]:
        """Predictions of a batch, decoded, a pure function: `given` as one example's tree, with a batch axis each.

        A map of ids stands for the masks of its objects, which are left out.
        """
        return self._applied(variables, given, self.intrinsics)

    def _applied(self, variables: Any, given: Any, intrinsics: Any) -> dict[str, Any]:
        given = in_unit_range(given)
        seen = given["image"] if "image" in given else given["inputs"]
        size = jax.tree.leaves(seen)[0].shape[0]
        camera = None
        if intrinsics is not None:
            camera = {"intrinsics": jnp.broadcast_to(jnp.asarray(intrinsics, jnp.float32), (size, 3, 3))}
        found = self.model.apply(variables, seen, tasks=list(self.names), camera=camera)
        batch = given if camera is None else {**given, "camera": camera}
        return {name: _without_masks(self.tasks[name].decoded(found[name], batch)) for name in self.names}

    def predict(self, examples: Iterable[Example], batch_size: int = 8) -> Iterator[dict[str, Any]]:
        """Predictions of examples in their order, a dict of NumPy trees for each batch.

        A batch is on its way while the one before is read. The last is filled up, so that one program serves all, and
        what fills it up is left out.

        Args:
            examples: of the network's own size; images of 8 bits, or floats from 0 to 1.
            batch_size: of the program.
        """
        program, before = self.programs.setdefault((self.names, self.by_frame), jax.jit(self.apply)), None
        for batch in _batches(examples, batch_size):
            size = len(batch)
            given = collate(cast(list[Any], [*batch, *batch[-1:] * (batch_size - size)]))
            found = program(self.variables, given)
            if before is not None:
                yield _read(*before)
            before = (found, size)
        if before is not None:
            yield _read(*before)


def _without_masks(decoded: Any) -> Any:
    if isinstance(decoded, Mapping) and {"masks", "ids"} <= set(decoded):
        return {key: x for key, x in decoded.items() if key != "masks"}
    return decoded


def network_of(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, choices: Mapping[str, Any], checkpoint: str = "newest"
) -> Network:
    """The network of a checkpoint of a workdir.

    Args:
        config: of the run.
        workdir: of the run.
        choices: `model`, `tasks` and so on that no config can name, as the run was given them.
        checkpoint: `newest`, or `best`.

    Raises:
        UserError: where there is no checkpoint, none that can be read, or none that fits the config.
    """
    given = objects.again(config, choices)
    config = checked(config)
    objects.check_given(config, given, ("tasks", "model"))
    tasks = experiment.tasks_of(config, given)
    model = experiment.model_of(cast(RunConfig, config), tasks, given=given)
    restored = restore_variables(folder_of(workdir, checkpoint))
    if restored is None:
        raise none_there(workdir, checkpoint)
    step, variables = restored
    network = Network(model, variables, tasks, _inputs(config, workdir, given), step)
    _check_fits(network, config, workdir)
    return network.asked()


def _inputs(config: RunConfig, workdir: pathlib.Path, given: objects.Objects) -> dict[str, Any]:
    found = inputs_file.read(workdir)
    if found is not None:
        return found
    try:
        parts = experiment.build(config, given)
        return inputs_file.described(parts, checks.fit(parts).sample)
    except UserError as error:
        raise UserError(
            f"no {inputs_file.INPUTS_FILE} in {str(workdir)!r}, as in runs of earlier versions, and the run's data, in "
            f"which it could be looked up, cannot be read: {error}"
        ) from error


def _check_fits(network: Network, config: RunConfig, workdir: pathlib.Path) -> None:
    one = network.batch_of_one
    try:
        seen = one["image"] if "image" in one else one["inputs"]
        wanted = jax.eval_shape(network.model.init, jax.random.key(0), seen)
    except Exception as error:  # of whatever kind: Flax has its own, and modules theirs
        raise UserError(f"model {config.model!r} on inputs of the run's shapes: {error}") from error
    kept = {key: tree for key, tree in wanted.items() if key not in (INITIAL, PENALTIES)}
    lines = difference.differences(difference.shapes(network.variables), difference.shapes(kept))
    if lines:
        raise UserError(
            f"checkpoint {network.step} of {str(workdir)!r} is not of the model that its config makes:\n"
            + difference.told(lines)
        )


def _batches(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    batch: list[Example] = []
    for example in examples:
        batch.append(example)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _read(found: Any, size: int) -> dict[str, Any]:
    def read(x: jax.Array) -> np.ndarray:
        array = np.asarray(x)[:size]
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array

    return jax.tree.map(read, found)
