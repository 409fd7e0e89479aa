"""What a study of relations leaves in its folder: `relations.json`, matrices, figures, a page."""

from collections.abc import Mapping, Sequence

from mtljax.report import files
from mtljax.studies.relate import conclude, page, record
from mtljax.studies.relate.last_layers import Covariances
from mtljax.studies.relate.plan import Study

RESULTS = "relations.json"


def write(
    study: Study, budgets: Sequence[float], importance: Mapping[str, float], covariance: Covariances | None = None
) -> str:
    """Concludes, and leaves `relations.json`, matrices, figures and `relations.md`; what is said in three sentences."""
    found = conclude.conclude(study, budgets, importance, covariance)
    folder = files.made(study.workdir)
    for name, content in page.files_of(found).items():
        files.write(folder / name, content)
    files.write_json(folder / RESULTS, record.as_json(found))
    return "\n".join(page.sentences(found)) + f"\nrelations: {folder / page.PAGE}"
