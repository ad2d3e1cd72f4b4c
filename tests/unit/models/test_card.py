"""Model cards: ``ferengine models NAME``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from ferengine.cli.app import app
from ferengine.errors import ModelError, UsageError
from ferengine.models.card import LIMITS, NOT_FOR, model_card
from ferengine.models.manifest import Manifest
from ferengine.models.registry import DEFAULT, GENDER, list_models, load_model


def show(*arguments: str, columns: int = 100) -> Result:
    return CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": str(columns)})


def words(text: str) -> str:
    """In one line, so that it does not matter where lines were broken."""
    return " ".join(text.split())


@pytest.mark.parametrize("manifest", list_models(), ids=lambda manifest: manifest.name)
def test_the_card_shows_all_that_the_manifest_holds(manifest: Manifest) -> None:
    done = show(manifest.name)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == manifest.name
    card = words(done.output)
    training, figures = manifest.training, manifest.accuracy
    for text in (
        manifest.network, f"{manifest.parameters:,} parameters", f"{manifest.mmac:g} MMAC", ", ".join(manifest.labels),
        f"{manifest.input.size} x {manifest.input.size}", manifest.file, manifest.precision, manifest.sha256, manifest.licence,
        f"logits / {manifest.temperature:g}", training.dataset, f"seed {training.seed}", training.machine, training.notes,
        manifest.intended_use, f"{figures.ece:.3f} in 15 bins",
    ):  # fmt: skip
        assert words(text) in card
    for prior, temperature in manifest.temperatures.items():
        assert f"under {prior} / {temperature:g}" in card
    for fraction in (figures.public, figures.private, figures.private_without_copies, figures.macro_f1):
        assert fraction is None or f"{100 * fraction:.2f} %" in card
    for command in (training.command, figures.command):
        assert f"  $ {command}" in done.output.splitlines()  # in one line: it is there to be copied
    assert max(map(len, (line for line in done.output.splitlines() if not line.startswith("  $ ")))) <= 100


def test_card_shows_unsuitable_uses_and_limits() -> None:
    expression, gender = words(show(DEFAULT).output), words(show(GENDER).output)
    for card in (expression, gender):
        assert "(AI Act), article 5(1)(f)" in card
        assert "workplace or in education is prohibited" in card
    assert "not what a person feels" in expression
    assert "64 % of them only" in expression
    assert "not who a person is" in gender
    assert "children and the old are read badly" in gender
    assert "FER-2013" not in gender


def test_every_task_has_its_texts() -> None:
    tasks = set(get_args(Manifest.model_fields["task"].annotation))
    assert set(NOT_FOR) == set(LIMITS) == tasks
    assert all(text for texts in (*NOT_FOR.values(), *LIMITS.values()) for text in texts.values())


def test_the_splits_are_named() -> None:
    expression, gender = words(show(DEFAULT).output), words(show(GENDER).output)
    assert "% on FER-2013 PublicTest, which it was chosen on" in expression
    assert "of that without exact copies of training faces" in expression
    assert "% on UTKFace test, which was kept for the end" in gender
    assert "copies" not in gender
    assert "Metrics (one crop a face, one seed, under the data's own class frequencies)" in expression


def test_a_narrow_terminal_breaks_texts_but_no_hash() -> None:
    done = show(DEFAULT, columns=40)
    assert load_model(DEFAULT).manifest.sha256 in done.output
    assert words(load_model(DEFAULT).manifest.intended_use) in words(done.output)


def test_card_names_the_default_and_the_int8_variant() -> None:
    assert "what --model means where it is not given" in show(DEFAULT).output
    assert "fast-int8.onnx" in show("fast").output
    assert "runs in its place on a CPU with AVX2" in words(show("fast").output)
    assert "int8 variant" not in show("dscnn").output
    variant = show("fast-int8").output
    assert "int8 variant" not in variant
    assert load_model("fast").manifest.sha256 in variant


def test_a_model_of_ones_own(bar_models: Any, tmp_path: Path) -> None:
    path = bar_models.write(tmp_path, accuracy={"crops": 10, "seeds": 3})
    card = words(show(str(path), columns=300).output)
    assert str(path) in card
    assert "not measured on FER-2013 PublicTest" in card
    assert "ECE not measured" in card
    assert "MMAC" not in card
    assert "Metrics (mean over 10 crops a face, 3 seeds)" in card
    assert "int8 variant" not in card
    assert all(section.command != "" for section in model_card(load_model(path)) if section.title == "Training")


def test_a_card_says_nothing_of_fer_2013_that_the_manifest_does_not(bar_models: Any, tmp_path: Path) -> None:
    path = bar_models.write(tmp_path, accuracy={}, training={})
    card = words(show(str(path)).output)
    assert "FER-2013" not in card
    assert "Metrics not measured Measure it on your own images (ferengine evaluate)" in card
    assert "Training not stated in the manifest" in card
    assert "what a person feels" in card
    assert "read badly" in card


def test_card_explains_why_a_variant_does_not_run(bar_models: Any, tmp_path: Path) -> None:
    path = bar_models.write(tmp_path, accuracy={"public": 0.69})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    bar_models.write(tmp_path, name="bars-int8", precision="int8", source_sha256=digest, accuracy={"public": 0.68})
    card = words(show(str(path)).output)
    assert "bars-int8.onnx, 68.00 % on the split to choose on; does not run unasked: it loses 1.00 points" in card


def test_card_says_which_prior_a_further_head_is_read_under(bar_models: Any, tmp_path: Path) -> None:
    head = {"name": "mood", "kind": "classes", "labels": ["calm", "loud"], "prior": "quiet",
            "priors": {"quiet": {"calm": 0.75, "loud": 0.25}, "even": {"calm": 0.5, "loud": 0.5}}}  # fmt: skip
    main = {"name": "expression", "kind": "classes", "labels": ["dark", "bright"]}
    path = bar_models.write(tmp_path, labels=("dark", "bright"), heads=[main, head])
    card = words(show(str(path)).output)
    assert "head mood one of calm, loud, under the prior quiet (calm 75.0 %, loud 25.0 %)" in card


def test_json_is_the_manifest(bar_models: Any, tmp_path: Path) -> None:
    assert json.loads(show("accurate", "--json").output) == load_model("accurate").manifest.to_json()
    path = bar_models.write(tmp_path)
    assert Manifest.model_validate_json(show(str(path), "--json").output) == load_model(path).manifest


def test_what_is_no_model_is_refused(bar_models: Any, tmp_path: Path) -> None:
    assert isinstance(show("nothing").exception, UsageError)
    assert isinstance(show(str(tmp_path / "none.onnx")).exception, ModelError)
    path = bar_models.write(tmp_path)
    path.write_bytes(b"damaged")
    refused = show(str(path)).exception
    assert isinstance(refused, ModelError)
    assert "SHA-256 differs" in str(refused)


def test_list_names_the_command_that_shows_a_card() -> None:
    assert "ferengine models NAME shows a model's card" in words(show(columns=200).output)
