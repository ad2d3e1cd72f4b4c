"""All images of a folder as a table, one row per face.

python folder_batch.py photos/ > faces.csv
"""

import argparse
import csv
import sys
import threading
from pathlib import Path

import cv2

from ferengine import Engine, PushSource, UsageError

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("--min-face", type=float, default=40.0, help="smallest face to look for, pixels")
arguments = parser.parse_args()

paths = sorted(path for path in arguments.folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
pushed: list[Path] = []  # by frame number; unreadable images have none


def push_all(engine: Engine) -> None:
    try:
        for path in paths:
            image = cv2.imread(str(path))
            if image is None:
                print(f"{path} is not an image that OpenCV reads", file=sys.stderr)
                continue
            pushed.append(path)
            reason = "the engine has no time for it"
            try:
                # waits while it is busy
                accepted = bool(engine.push("folder", image, timestamp=10.0 * len(pushed), timeout=60))
            except UsageError as error:  # a panorama of more than 16384 pixels
                accepted, reason = False, str(error)
            if not accepted:
                print(f"{pushed.pop()} was not read: {reason}", file=sys.stderr)
    finally:
        engine.end_source("folder")  # whatever happened: the loop below waits for it


table = csv.writer(sys.stdout)
table.writerow(["file", "x", "y", "w", "h", "label", "score"])
# detect in every image; ten seconds between time stamps keep faces of one image from being tracked into the next
with Engine(PushSource("folder", wait=True), detect_every=1, smoothing=0, min_face=arguments.min_face) as engine:
    threading.Thread(target=push_all, args=(engine,)).start()
    for result in engine.results():
        for face in result.faces:
            if face.expression is None:  # only where the classifier gave no number
                continue
            best = max(face.expression.scores.values())
            table.writerow([pushed[result.frame].name, *map(round, face.box), face.expression.label, f"{best:.3f}"])
