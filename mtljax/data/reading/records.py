"""Reading a TFDS data source by index, with damage told."""

from typing import Any

from mtljax.errors import UserError


def read_record(records: Any, index: int) -> dict[str, Any]:
    """A record of `builder.as_data_source(split)`.

    Raises:
        UserError: where the prepared files are damaged or gone.
    """
    try:
        return records[index]
    except (RuntimeError, OSError) as error:
        info = records.dataset_info
        reason = str(error).strip().split("\n")[0][:200]
        raise UserError(
            f"data set {info.full_name}: example {index} cannot be read: {reason}. Delete the folder "
            f"{info.data_dir} to have it prepared anew."
        ) from error
