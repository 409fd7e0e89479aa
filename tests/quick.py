"""What makes XLA compile quickly: the programs of tests run for a moment only."""

import importlib.metadata

_RELEASE = tuple(int(part) for part in importlib.metadata.version("jaxlib").split(".")[:2])
FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
if _RELEASE < (0, 11):  # where fusions can be had without their emitters, they compile twice as fast
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
