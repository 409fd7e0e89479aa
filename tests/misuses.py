"""What people do wrong, each as they would do it, and words that they must be told for it.

`COMMANDS` are lines of a shell, on the config of `wrong_things`; `CALLS` are lines of Python. What is surely
wrong is refused; what may be meant, `MEANT`, is told before the first step.
"""


def _table(file="labels.csv", images="birds", labels="{'age': 'float', 'kind': 'str'}"):
    return f"--config.data=\"from_table('{file}', images='{images}', labels={labels})\""


def _kind(text):
    return f'--config.tasks.kind="{text}"'


def _own(name):
    return f"--config.tasks.kind='things:{name}()'"


def _data(name, *more):
    return " ".join([f"--config.data='things:{name}()'", *more])


def _encoder(what):
    return f"--config.model=\"MultiTask(things:Encoder('{what}'))\""


_COMPARE, _ALONE = "--mode=compare --jobs=0", "--config.tasks.age="
# What stands behind the program's name -> what is said; `--config=experiment.py` and `--workdir=run` where there is none.
COMMANDS = {
    # how it is launched
    "--config=missing.py": "unknown config file 'missing.py'",
    "--config=no_function.py": "the config file has no function get_config()",
    "--config=gives_none.py": "get_config() of 'gives_none.py' gives NoneType; expected a ConfigDict",
    "--config=garbled.py": "invalid syntax (garbled.py, line 1)",
    "--list=balancer": "unknown list 'balancer'; did you mean 'balancers'?",
    "--mode=trian": "unknown mode 'trian'; did you mean 'train'?",
    "--images=x.png": "--images goes with --mode=predict",
    "--simulate_devices=0": "--simulate_devices=0",
    # keys and values
    "--config.stpes=3": "unknown config key 'stpes'; did you mean 'steps'?",
    "--config.steps": "Missing value for flag --config.steps",
    "--config.steps=1e3": "--config.steps=1e3",
    "--config.steps=0": "config.steps=0: expected at least 1",
    "--config.seed=-1": "config.seed=-1: expected at least 0",
    "--config.dtype=float8": "unknown config.dtype 'float8'",
    "--config.train_share=2": "config.train_share=2.0: expected a share",
    "--config.clip_norm=-1": "config.clip_norm=-1.0: expected a positive number",
    "--config.measure=feature": "unknown measure 'feature'; did you mean 'features'?",
    "--config.parallel='mesh(data=99)'": "parallel='mesh(data=99)': expected",
    "--config.augment='flipp()'": "unknown augmentation 'flipp'; did you mean 'flip'?",
    "--config.writers='wandbb()'": "'wandbb'; did you mean 'wandb'?",
    "--config.init_from=nowhere": "no config.json in 'nowhere': it is no workdir of a run",
    "--config.pretrained=none.pth": "unknown encoder for pretrained weights: 'Encoder'",
    "--config.data=": "data '' is not a call-string",
    "--config.batch_size=9": "batch_size=9 is more than the 8 examples of the training split",
    # optimisers
    "--config.optimizers.kid='adam(1e-3)'": "(it has no parameters): 'kid'; did you mean 'kind'?",
    "--config.optimizers.kind='adam(-1e-3)'": "adam(learning_rate=-0.001) climbs",
    "--config.optimizers.kind='adam'": "adam(): missing a required argument: 'learning_rate'",
    "--config.optimizers.kind=": "no optimiser for group 'kind'",
    "--config.optimizers.kind.lr=3": "expected --config.optimizers.NAME='call-string'",
    # data of one's own: arrays, rows, tables, classes
    _data("of_two_lengths"): "arrays differ in length: 'image' 16, 'kind' 16, 'age' 15",
    _data("channels_first"): "looks like channels first; expected (8, 12, 3), or channels_first=True",
    _data("of_8_bits_as_floats"): "decode={'image': 1 / 255}",
    _data("with_nan"): "expected floats in [0, 1]",
    _data("no_ages_at_all"): "'age' is missing in all 16 rows",
    _data("kinds_from_one"): "of the labels 'kind' have no class: id 3; expected 0 to 2",
    _data("kinds_one_hot"): "label kind has shape (4, 3); expected (B,)",
    _data("kinds_as_floats"): "label kind has dtype float32; expected class ids",
    _data("Column", _ALONE): "label kind has shape (4, 1); expected (B,)",
    _data("nothing"): "gives something of type NoneType; expected DataSet",
    _data("pairs"): "gives something of type list; expected DataSet",
    _data("a_stream"): "a generator has no rows by number",
    _data("Bare", _ALONE): "gives the label 'kind' without its mask, 'kind_valid'",
    _data("vectors", "--config.augment='flip()'"): "the data has vectors, no images",
    _data("vectors", "--config.model='MultiTask(ResNet(depth=10))'"): "ResNet takes images (B, H, W, C)",
    "--config.data=\"from_arrays('birds.npz')\"": "'birds.npz' does not exist",
    "--config.data=\"from_arrays('labels.csv')\"": "'labels.csv' cannot be read; expected a file .npz",
    _table("label.csv"): "did you mean 'labels.csv'?",
    _table(images="bird"): "did you mean 'birds'?",
    _table("lost.csv"): "'lost.csv', line 9: the picture 'seven.png' is not in 'birds'",
    _table(labels="{'kid': 'str'}"): "'kid'; did you mean 'kind'?",
    _table(labels="{'kind': 'float'}"): "'kind': 'owl' is no number",
    _table(labels="{'age': 'float'}"): "does not have (it has age)",
    # tasks
    "--config.tasks.kind= --config.tasks.age=": "config.tasks is empty",
    "--config.tasks.loss=\"regress(label='age')\"": "a task cannot be named 'loss'",
    "--config.tasks.shared=\"regress(label='age')\"": "a task cannot be named 'shared'",
    _kind("classify(num_classes=2, label='kind')"): "no class: id 2; expected 0 to 1",
    _kind("classify(num_classes=1, label='kind')"): "classify(num_classes=1): expected at least 2",
    _kind("classify(label='kind')"): "missing a required argument: 'num_classes'",
    _kind("classify(3, label='kid')"): "reads the label 'kid', which data 'things:arrays()' does not",
    _kind("tags(num_tags=3, label='kind')"): "label kind has shape (4,); expected a last axis of 3",
    _kind("regress(label='age', loss='hubr')"): "'hubr'; did you mean 'huber'?",
    _kind("regress(label='age', head=Linear(2))"): "the prediction has shape (4, 2); expected (4, 1)",
    _kind("regress(label='age', head=Dense(1))"): "a dense prediction wants an image encoder",
    _kind("detect(slots=0)"): "detect(slots=0): expected at least 1",
    _kind("detect(by_class=True, decoupled=True)"): "leave no logits to decouple; take one",
    _kind("detect(areas=(9, 3))"): "detect(areas=(9, 3)): expected that up to which objects are small",
    _kind("instances(least=-5)"): "instances(least=-5): expected at least 0 pixels",
    _kind("track(found=2.0)"): "track(found=2.0): expected a score, from 0 to less than 1",
    _kind("track(unseen=-1)"): "track(unseen=-1): expected at least 0 frames",
    _own("no_metrics"): "task 'kind' has no metrics",
    _own("three"): "gives something of type int; expected Task",
    _own("lossalone"): "'lossalone'; did you mean 'loss_alone'?",
    # losses, sums and metrics of one's own
    _own("loss_alone"): "its loss has shapes (); expected two scalars, (total, count)",
    _own("loss_a_row"): "its loss has shapes ((4,), ()); expected two scalars",
    _own("loss_of_no_label"): "KeyError: 'king' (its loss",
    _own("loss_too_wide"): "shapes=[(4, 3), (5,)] (its loss; labels: kind (4,)",
    _own("loss_to_numpy"): "traced array with shape float32[] (its loss",
    _own("loss_calls_back"): "Pure callbacks do not support JVP",
    _own("count_below_zero"): "its loss has a count of -2; expected at least 0",
    _own("sums_of_none"): "KeyError: 'none' (its sums of metrics",
    _own("metric_of_none"): "KeyError: 'none' (its metrics",
    _own("host_sums_fail"): "shapes (2,3) (5,) (its metrics",
    _own("constant_too_wide"): "is the head too narrow? (its constant",
    f"{_own('picture_of_one_channel')} --config.panel_images=1": "(2, 1, 4, 4, 1); expected (B, s, H, W, 3)",
    # encoders and models
    "--config.model='things:Encoder()'": "expected a way to share, such as MultiTask",
    _encoder("nothing"): "features are of type NoneType; expected a map",
    _encoder("text"): "features are of type str; expected a map",
    _encoder("one"): "features have shape (); expected a map",
    _encoder("halved"): "the prediction has shape (2, 1); expected (4, 1)",
    "--config.model='MultiTask(things:Falls())'": "RuntimeError: no such luck (",
    "--config.model='MultiTask(things:NotLinen())'": "expected a Flax Linen module, an object with pure `init` and `apply`",
    "--config.model='CrossStitch(things:Encoder())'": "expected an encoder with stages",
    "--config.model='MultiTask(ResNett(depth=18))'": "'ResNett'; did you mean 'ResNet'?",
    "--config.model='MultiTask(UNet())'": "expected sides divisible by 16, not 4 x 6",
    # balancers
    "--config.balance='things:adam()'": "GradientTransformationExtraArgs; expected Balancer",
    "--config.balance='PCGrad()'": "unknown balancer 'PCGrad'; did you mean 'pcgrad'?",
    "--config.balance='pcgrad(num_tasks=3)'": "is for 3 tasks; there are 2",
    "--config.balance='pcgrad(alpha=1)'": "unknown argument of pcgrad()",
    "--config.balance=\"constant({'age': 1.0, 'knd': 2.0})\"": "no task 'knd'; did you mean 'kind'?",
    "--config.balance='things:one_weight()'": "weights of shape (1,); expected (2,), one a task",
    "--config.balance='things:no_weights()'": "weights of type NoneType; expected (2,), one a task",
    "--config.balance='things:weight_of_none()'": "'NoneType' object has no attribute 'norms' (",
    "--config.balance=\"cosmos(preference={'knd': 1.0})\"": "no task 'knd'; did you mean 'kind'?",
    "--config.balance='graddrop()' --config.jacobian=streamed": "jacobian='streamed' never holds the gradients",
    "--config.keep_best='age/MAEE'": "'age/MAEE'; did you mean 'age/MAE'?",
    # what comes after training
    "--mode=eval --workdir=nowhere": "no checkpoint in 'nowhere/checkpoints'; train first",
    "--mode=predict": "--images names no files",
    "--mode=predict --images=birds --workdir=nowhere": "no checkpoint in 'nowhere/checkpoints'; train first",
    "--mode=export --format=tflite": "--format=tflite",
    "--mode=export --workdir=a_file": "no checkpoint in 'a_file/checkpoints'; train first",
    # comparisons and relations
    "--mode=compare": "--mode=compare and --methods go together",
    f"{_COMPARE} --methods='equal();pcgard()'": "unknown balancer 'pcgard'; did you mean 'pcgrad'?",
    f"{_COMPARE} --methods='4;eight' --vary=batch_size": "'eight' is no value of batch_size",
    f"{_COMPARE} --methods='equal();sum()' --shares='0.01;1'": "leaves 1 of 8 training examples",
    f"{_COMPARE} --methods='equal();sum()' --metrics='age/MAEE'": "'age/MAEE'; did you mean 'age/MAE'?",
    "--mode=relate --relations='netwoks()' --jobs=0": "'netwoks'; did you mean 'networks'?",
    f"--mode=relate --relations='lookahead()' --jobs=0 {_ALONE}": "has no other to be related to",
}
# What may be meant -> what is told of it before the first step.
MEANT = {
    _data("black"): "8 of 8 training images looked at have one value everywhere, such as 0",
    _data("without_ages"): "the labels 'age' are 1 in all of 2: nothing can be learned",
    _data("kinds_below_zero"): "of the labels 'kind' are -1, which stands for no class, and none are 2",
    _data("arrays"): "Say what they are: mean=",
    _own("loss_nan"): "task 'kind': not finite for two validation examples and a prediction of 0.5 everywhere: total.",
    _own("count_nan"): "0.5 everywhere: count.",
    _own("sums_nan"): "0.5 everywhere: sum 'a'.",
    _own("loss_without_gradient"): "task 'kind': its loss has the gradient 0 for two validation examples",
    "--config.model='SingleTask(things:Encoder())' --config.balance='pcgrad()'": "they share nothing: it changes nothing",
    f"--config.cosines_every=5 {_ALONE}": "one task alone has no cosines with others",
}
# Lines of Python, where `fit` is `mtl.fit` with all that it needs, and `run` a run -> what is said.
CALLS = {
    "mtl.fit()": "config.tasks is empty",
    "mtl.fit('quickstart')": "config='quickstart'; expected a dict or a ConfigDict",
    "fit(taks={})": "unknown config key 'taks'; did you mean 'tasks'?",
    "fit(steps='many')": "config.steps='many': expected a value of type int",
    "fit(data=None)": "data: something of type NoneType; expected DataSet",
    "fit(data=(things.GOOD['image'], things.GOOD['kind']))": "data: something of type tuple; expected DataSet",
    "fit(data={'x': np.zeros((8, 4)), 'kind': np.arange(8) % 3})": "Say what the model is given: inputs='...'",
    "fit(tasks=3)": "tasks: something of type int; expected mtl.Task",
    "fit(tasks=mtl.tasks.classify)": "tasks: something of type function; expected mtl.Task",
    "fit(tasks={'kind': 3})": "tasks.kind: something of type int; expected Task",
    "fit(tasks=[mtl.tasks.classify(3, label='kind')] * 2)": "'classify' is there twice",
    "fit(tasks={'a/b': \"classify(3, label='kind')\"})": "the name 'a/b' holds one of / ; ,",
    "fit(model=3)": "MultiTask(encoder=...) is 3; expected a Flax Linen module",
    "fit(model=mtl.MultiTask(things.Encoder(), {'kind': mtl.heads.Linear(3)}))": "has heads for kind; the tasks are age",
    "fit(balancer=mtl.pcgrad(3))": "is for 3 tasks; there are 2",
    "fit(balancer=optax.adam(1e-3))": "expected Balancer, a call-string, or what makes one",
    "fit(balancer=things.one_weight(2))": "weights of shape (1,); expected (2,), one a task",
    "fit(optimizers=1e-3)": "expected an optax transformation, not float",
    "fit(optimizers=optax.adam)": "missing a required argument: 'learning_rate'",
    "fit(optimizers={'shared': optax.adam(1e-3)})": "no optimiser for group 'age'",
    "fit(writers=3)": "writers: something of type int; expected begin, write, picture and close",
    "mtl.load('nowhere')": "no config.json in 'nowhere': it is no workdir of a run",
    "mtl.load('a_file')": "cannot read 'a_file/config.json'",
}
# Such lines of a trained run.
CALLS_OF_RUN = {
    "run.predict(np.full((1, 4, 6, 3), 255.0))": "floats in [0, 1]",
    "run.predict(things.GOOD['image'], tasks=['kid'])": "'kid'; did you mean 'kind'?",
    "run.predict(['birds/none.png'])": "birds/none.png",
    "run.export('out', 'onx')": "'onx'; did you mean 'onnx'?",
    "mtl.load(run.workdir, modle=3)": "unknown part of a run 'modle'; did you mean 'model'?",
}
