"""The server of docs/serve.md, as it stands there, around a network exported for it."""

import importlib.util
import io
import pathlib
import re
import warnings

import numpy as np
from PIL import Image

from tests.serving import sets

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "serve.md"
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


def test_the_server_is_short():
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 30


def test_the_server_answers_as_the_run_does(run, tmp_path, monkeypatch):
    sets.needs("fastapi", "httpx", "onnxruntime", "jax2onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own
        from fastapi import testclient
    run.export(tmp_path, "onnx", ["depth", "kind"])
    monkeypatch.setenv("MODEL", str(tmp_path))
    (tmp_path / "app.py").write_text(CODE)
    spec = importlib.util.spec_from_file_location("serve_page_app", tmp_path / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    client, file = testclient.TestClient(module.app), io.BytesIO()
    turned = Image.Exif()
    turned[0x0112] = 6
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    image.save(file, "JPEG", exif=turned)
    found = client.post("/predict", content=file.getvalue())
    assert found.status_code == 200, found.text
    wanted = run.answers([Image.open(file)], ["kind"])[0]["kind"]["class"]
    assert found.json()["kind"] == wanted
    depth = np.asarray(found.json()["depth"])
    assert depth.shape == (sets.H, sets.W, 1)
    small = image.transpose(Image.Transpose.ROTATE_270)
    assert small.size == (30, 40)
    assert client.post("/predict", content=b"no image").status_code == 400
