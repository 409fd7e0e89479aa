"""What multi-task learning promises: golden figures, and verdicts that no figure can bend."""

import functools

import numpy as np

from mtljax import report

close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-9)


def test_training_time_is_golden(small):
    golden = small["promises"]["training"]
    alone, joint = (
        {
            task: report.Curve(golden["steps"], values, pace[task] if isinstance(pace, dict) else pace)
            for task, values in golden[kind].items()
        }
        for kind, pace in golden["seconds_per_step"].items()
    )
    found = report.training_time(alone, joint, golden["higher_is_better"])
    for task, expected in golden["tasks"].items():
        for name, value in expected.items():
            ours = getattr(found.tasks[task], name)
            assert (ours is None) == (value is None), name
            if value is not None:
                close(ours, value)
    assert (found.seconds_alone, found.seconds_joint) == (
        golden["seconds_alone_in_all"],
        golden["seconds_joint_in_all"],
    )


def test_label_curve_is_golden(small):
    golden = small["promises"]["labels"]
    alone, joint = (dict(zip(golden["fractions"], golden[kind], strict=True)) for kind in ("alone", "joint"))
    found = report.label_curve(alone, joint, golden["higher_is_better"])
    close(found.equal_share, golden["fraction_that_equals_all_labels_alone"])
    close(found.mean_gain, golden["mean_relative_gain_over_log_fraction"])
