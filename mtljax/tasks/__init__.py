from mtljax.tasks.task import Task, Metric
