"""Preparing a data set of TFDS, which downloads it; where there is no network that is told in seconds."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

_WAIT = 5.0  # seconds in which a host answers
_HOSTS = 3  # that are asked


def prepare(builder: Any) -> None:
    """Downloads and prepares what a builder names; what it has downloaded before is used again.

    TFDS tries again for minutes where a host does not answer; where none of them does at first, it does not.
    """
    import tensorflow_datasets

    # What is prepared already lies in their bucket as TFRecord files, which are not wanted.
    config = tensorflow_datasets.download.DownloadConfig(try_download_gcs=False)
    print(f"TFDS downloads and prepares {builder.name} in {builder.data_dir}, once.", file=sys.stderr, flush=True)
    with contextlib.nullcontext() if _reachable(builder) else _at_once():
        builder.download_and_prepare(download_config=config)


def _reachable(builder: Any) -> bool:
    """Whether a host that a builder downloads from answers, whatever it says; True where none is known."""
    import requests

    known = getattr(builder, "url_infos", None) or ()
    urls = {urlsplit(url).netloc: url for url in known if url.startswith("http")}
    for url in list(urls.values())[:_HOSTS]:
        try:
            requests.head(url, timeout=_WAIT)
            return True
        except requests.RequestException:
            continue
    return not urls


@contextlib.contextmanager
def _at_once() -> Iterator[None]:
    """While it lasts, TFDS tries a download once."""
    from tensorflow_datasets.core.download import downloader

    before = getattr(downloader, "MAX_RETRIES", None)
    downloader.MAX_RETRIES = 0
    try:
        yield
    finally:
        if before is not None:
            downloader.MAX_RETRIES = before
