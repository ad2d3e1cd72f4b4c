"""The faces that the options of ``ferengine evaluate`` select."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ferengine.errors import UsageError
from ferengine_tools.data import LabelSet, fer2013, utkface, wild_faces
from ferengine_tools.evaluation import sets
from ferengine_tools.evaluation.faces import LabelledFaces, folder_faces
from ferengine_tools.evaluation.groups import read_groups
from ferengine_tools.evaluation.mapping import LabelMap

SplitName = Literal["train", "training", "public", "private", "validation", "test", "folder"]
"""The splits of all sets; "folder" is any folder with a sub-folder for each class."""

_FER2013: dict[str, fer2013.Split] = {"train": "training", "training": "training", "public": "public", "private": "private"}
_WILD: dict[str, wild_faces.Split] = {"train": "training", "training": "training", "validation": "validation"}
_UTKFACE: dict[str, utkface.Split] = {"train": "training", "training": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Selection:
    """Faces to measure on.

    Attributes:
        data: FER-2013, UTKFace, wild_faces or a folder.
        split: The split; None for the usual one.
        labels: FER-2013's labels, or those with contempt.
        without_copies: Leave out test faces that are training faces as well.
        groups: The groups of the faces of a folder, a csv.
        cache: Folder of UTKFace's crops; the user's cache if None.
    """

    data: Path
    split: SplitName | None = None
    labels: LabelSet = "fer2013"
    without_copies: sets.Copies | None = None
    groups: Path | None = None
    cache: Path | None = None


def usual_split(data: Path, task: str) -> SplitName:
    """Return the split to choose on; for gender the test split."""
    if task == "gender":
        return "test"
    return "validation" if wild_faces.is_wild_faces(data) else "public"


def load_faces(selection: Selection, task: str, side: int, label_map: LabelMap) -> LabelledFaces:
    """Load the selected faces.

    Args:
        selection: What to load.
        task: What the models read.
        side: Side of the crops of a folder, pixels.
        label_map: The class of each name in the data.

    Raises:
        UsageError: The options do not fit together, or the data cannot be read.
    """
    data, split = selection.data, selection.split or usual_split(selection.data, task)
    wild = task == "expression" and wild_faces.is_wild_faces(data)
    splits = _UTKFACE if task == "gender" else _WILD if wild else _FER2013
    if split not in (*splits, "folder"):
        raise UsageError(f"--split {split}: for a model of {task} choose one of {', '.join((*splits, 'folder'))}")
    if selection.groups is not None and split != "folder":
        raise UsageError("--groups needs --split folder: the public sets have their own groups, or none")
    if (selection.without_copies or selection.labels != "fer2013") and (split == "folder" or wild or task != "expression"):
        raise UsageError("--without-copies and --labels need a split of FER-2013, and a model of expression")
    if selection.cache is not None and (split == "folder" or task != "gender"):
        raise UsageError("--cache is for the crops of UTKFace, and a model of gender")
    if selection.without_copies and splits[split] == "training":
        raise UsageError("--without-copies is for public and private: it leaves out what is in train, which is all of train")
    if split == "folder":
        faces = folder_faces(data, side, label_map)
        return faces if selection.groups is None else faces.with_groups(read_groups(selection.groups, faces.names))
    if task == "gender" and wild_faces.is_wild_faces(data):
        raise UsageError(f"{data} is wild_faces, which has labels of expression: choose another --model")
    if task == "expression" and not wild and not (data / "train").is_dir() and utkface.is_utkface(data):
        raise UsageError(f"{data} is UTKFace, which has labels of gender: choose another --model, such as gender")
    if wild:
        faces = sets.wild_faces(data, _WILD[split])
    elif task == "gender":
        faces = sets.utkface_faces(data, _UTKFACE[split], selection.cache)
    else:
        faces = sets.fer2013_faces(data, _FER2013[split], labels=selection.labels, without_copies=selection.without_copies)
    return faces.renamed(label_map)
