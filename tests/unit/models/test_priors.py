"""Class priors: those of manifests, those of files, and what is refused."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ferengine.errors import ModelError, UsageError
from ferengine.models.manifest import Manifest
from ferengine.models.priors import choose_prior
from ferengine.models.registry import DEFAULT, SHIPPED, list_models, load_model
from ferengine.models.settings import Prior

LABELS = ("calm", "loud", "odd")
PRIORS = {"uniform": dict.fromkeys(LABELS, 1 / 3), "noisy": {"odd": 0.1, "calm": 0.2, "loud": 0.7}}
SHIPPED_MODELS = [pytest.param(manifest, id=manifest.name) for manifest in list_models()]


@pytest.fixture
def manifest() -> Manifest:
    """Of three classes, with two priors."""
    shipped = load_model(DEFAULT).manifest.to_json()
    return Manifest.model_validate({**shipped, "labels": LABELS, "self_test": None, "temperatures": {}, "priors": PRIORS,
                                    "prior": "noisy"})  # fmt: skip


def test_choose_prior_by_name(manifest: Manifest) -> None:
    assert choose_prior(manifest) == Prior("noisy", LABELS, (0.2, 0.7, 0.1))
    assert choose_prior(manifest, "uniform") == Prior("uniform", LABELS, (1 / 3, 1 / 3, 1 / 3))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_choose_prior_of_a_file_as_other_systems_write_it(manifest: Manifest, tmp_path: Path, mark: bytes, end: str) -> None:
    lines = {".json": ["{", *(f'"{label}": 0.25,' for label in LABELS[:2]), '"odd": 0.5}'],
             ".toml": ["# mine", *(f"{label} = 0.25" for label in LABELS[:2]), "odd = 0.5"]}  # fmt: skip
    for suffix, text in lines.items():
        path = tmp_path / f"mine{suffix}"
        path.write_bytes(mark + end.join(text).encode())
        assert choose_prior(manifest, str(path)) == Prior(str(path), LABELS, (0.25, 0.25, 0.5))


def test_choose_prior_of_another_kind(manifest: Manifest, tmp_path: Path) -> None:
    wrong: Any
    for wrong in (3, ["uniform"], {"calm": 1}, b"uniform"):
        with pytest.raises(UsageError, match=rf"a prior is a name, the path of a file or a Prior, not {type(wrong).__name__}"):
            choose_prior(manifest, wrong)
    (tmp_path / "mine.json").write_text('{"calm": 0.25, "loud": 0.25, "odd": 0.5}')
    assert choose_prior(manifest, tmp_path / "mine.json") == choose_prior(manifest, str(tmp_path / "mine.json"))


def test_prior_logarithm_and_labels(manifest: Manifest) -> None:
    prior = choose_prior(manifest)
    assert prior is not None
    np.testing.assert_allclose(prior.logarithm(), np.log([0.2, 0.7, 0.1]))
    assert prior.by_label() == {"calm": 0.2, "loud": 0.7, "odd": 0.1}


def test_choose_prior_that_follows_cameras(manifest: Manifest) -> None:
    chosen = choose_prior(manifest, "adapt", follows=True)
    assert chosen == Prior("adapt", LABELS, (0.2, 0.7, 0.1), start="noisy")
    assert chosen is not None
    assert chosen.fitted == "noisy"
    with pytest.raises(UsageError, match=r"^prior adapt is estimated from a camera .*: choose one of uniform, noisy, or a"):
        choose_prior(manifest, "adapt")
    with pytest.raises(UsageError, match=r"^prior adapt: the model standard names no priors"):
        choose_prior(manifest.model_copy(update={"priors": {}, "prior": None}), "adapt", follows=True)


def test_temperature_is_that_of_the_prior(manifest: Manifest) -> None:
    """A manifest of before there were several has one for all; files get the general one, as ``uniform`` does here."""
    old = Manifest.model_validate({**manifest.to_json(), "temperature": 0.7})
    assert [old.temperature_under(name) for name in (None, "uniform", "noisy", "mine.json")] == [0.7] * 4
    noisy = old.with_temperature(0.5, "noisy")
    assert (noisy.temperature, noisy.temperatures) == (0.5, {"noisy": 0.5})
    both = Manifest.model_validate_json(json.dumps(noisy.with_temperature(0.72, "uniform").to_json()))
    assert both.temperatures == {"noisy": 0.5, "uniform": 0.72}
    assert [both.temperature_under(name) for name in ("noisy", "uniform", "mine.json")] == [0.5, 0.72, 0.6]
    assert both.outputs[0].temperature_under("noisy") == 0.5
    assert (both.with_temperature(2.0).temperature, both.with_temperature(2.0).temperatures) == (2.0, {})


def test_choose_prior_of_a_model_without_any(manifest: Manifest) -> None:
    bare = manifest.model_copy(update={"priors": {}, "prior": None})
    assert choose_prior(bare) is None
    with pytest.raises(UsageError, match=r"^prior uniform: the model standard names no priors .*ferengine export-onnx"):
        choose_prior(bare, "uniform")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.json", '{"odd": 0.5, "calm": 0.25, "loud": 0.25}'),
        ("mine.toml", "odd = 0.5\ncalm = 0.25\nloud = 0.25\n"),
    ],
)
def test_choose_prior_from_a_file(manifest: Manifest, tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert choose_prior(manifest, str(path)) == Prior(str(path), LABELS, (0.25, 0.25, 0.5))


def test_file_is_divided_by_a_sum_that_rounding_left(manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "thirds.json"
    path.write_text(json.dumps(dict.fromkeys(LABELS, 0.3333)))
    prior = choose_prior(manifest, str(path))
    assert prior is not None
    assert math.fsum(prior.probabilities) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"calm": 0.5, "loud": 0.5}', r"has no odd: the labels of the model are calm, loud, odd"),
        ("a.json", '{"calm": 0.5, "loud": 0.5, "sad": 0.1}', r"has no odd and names sad: the labels"),
        ("a.json", '{"calm": 0.5, "loud": 0.5, "odd": 0}', r"odd must be a probability above 0, not 0"),
        ("a.json", '{"calm": 0.5, "loud": 0.6, "odd": -0.1}', r"odd must be a probability above 0, not -0.1"),
        ("a.json", '{"calm": 0.5, "loud": 0.4, "odd": NaN}', r"odd must be a probability above 0, not nan"),
        ("a.json", '{"calm": true, "loud": 0.4, "odd": 0.1}', r"calm must be a probability above 0, not True"),
        ("a.json", '{"calm": "1", "loud": 0.4, "odd": 0.1}', r"calm must be a probability above 0, not '1'"),
        ("a.json", '{"calm": 10, "loud": 4, "odd": 1}', r"the probabilities sum to 15, not to 1: divide each by the sum"),
        ("a.json", f'{{"calm": 1{"0" * 400}, "loud": 0.4, "odd": 0.1}}', r"calm must be a probability above 0, not 10+\.\.\.$"),
        ("a.json", '{"calm": 1e308, "loud": 1e308, "odd": 0.1}', r"calm must be a probability above 0, not 1e\+308"),
        ("a.json", f'{{"calm": {"9" * 5000}, "loud": 0.4, "odd": 0.1}}', r"is not JSON: .*digits"),
        ("a.json", '{"calm": 0.9, "calm": 0.5, "loud": 0.4, "odd": 0.1}', r"is not JSON: 'calm' is given twice"),
        ("a.toml", f"calm = 1{'0' * 400}\nloud = 0.4\nodd = 0.1", r"calm must be a probability above 0, not 10+\.\.\.$"),
        ("a.toml", f"calm = 0x{'f' * 5000}\nloud = 0.4\nodd = 0.1", r"calm must be a probability above 0, not a number of th"),
        ("a.toml", f"calm = {'9' * 5000}\nloud = 0.4\nodd = 0.1", r"is not TOML: .*digits"),
        ("a.json", " " * (1 << 17), r"has 131,072 bytes, and 65,536 are the maximum"),
        ("a.json", "[0.5, 0.4, 0.1]", r"holds no table: give the probability of each label \(calm, loud, odd\)"),
        ("a.json", "{", r"is not JSON: "),
        ("a.toml", "calm = ", r"is not TOML: "),
    ],
)
def test_choose_prior_refuses_a_file(manifest: Manifest, tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"^prior {path}:? {message}"):
        choose_prior(manifest, str(path))


def test_choose_prior_refuses_what_is_no_prior(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no prior 'quiet': choose one of uniform, noisy, or a \.json or \.toml file"):
        choose_prior(manifest, "quiet")
    with pytest.raises(UsageError, match=r"absent\.json cannot be read: No such file"):
        choose_prior(manifest, str(tmp_path / "absent.json"))
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UsageError, match=r"pipe\.json is no file"):
        choose_prior(manifest, str(tmp_path / "pipe.json"))
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"bytes\.json is not UTF-8 text"):
        choose_prior(manifest, str(tmp_path / "bytes.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"priors": {"a": {"calm": 0.5, "loud": 0.5}}, "prior": "a"}, r"the prior a must give a probability for each of calm"),
        ({"priors": {"a": {"calm": 0.5, "loud": 0.4, "odd": 0.2}}, "prior": "a"}, r"of the prior a must sum to 1, not to 1\.1"),
        ({"priors": {"a": {"calm": 0.5, "loud": 0.5, "odd": 0}}, "prior": "a"}, r"priors\.a\.odd: .*greater than 0"),
        ({"prior": "quiet"}, r"prior must be one of priors \(uniform, noisy\), not 'quiet'"),
        ({"prior": None}, r"prior must be one of priors \(uniform, noisy\), not None"),
        ({"temperatures": {"quiet": 1.0}}, r"temperatures names quiet, which is none of priors \(uniform, noisy\)"),
        ({"temperatures": {"noisy": 0}}, r"temperatures\.noisy: .*greater than or equal to"),
        ({"priors": {"adapt": PRIORS["noisy"]}, "prior": "adapt"}, r"a prior cannot be called adapt"),
        ({"priors": {}}, r"prior must be one of priors \(there are none\), not 'noisy'"),
    ],
)
def test_manifest_refuses_priors(manifest: Manifest, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    shutil.copy(SHIPPED / f"{DEFAULT}.onnx", tmp_path)
    (tmp_path / f"{DEFAULT}.json").write_text(json.dumps({**manifest.to_json(), **change}))
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / f"{DEFAULT}.onnx")


@pytest.mark.parametrize("shipped", SHIPPED_MODELS)
def test_shipped_models_name_their_priors(shipped: Manifest) -> None:
    own = ["uniform", "utkface"] if shipped.task == "gender" else ["uniform", "fer2013", "everyday"]
    assert list(shipped.priors) == own
    assert shipped.prior == ("uniform" if shipped.task == "gender" else "everyday")
    assert set(shipped.priors["uniform"].values()) == {round(1 / len(shipped.labels), 6)}


@pytest.mark.parametrize(("name", "text"), [("a.json", "[" * 50_000), ("a.toml", "calm = " + "[" * 50_000)])
def test_choose_prior_refuses_a_file_that_is_nested_too_deeply(
    manifest: Manifest, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=r"is nested too deeply"):
        choose_prior(manifest, str(tmp_path / name))
