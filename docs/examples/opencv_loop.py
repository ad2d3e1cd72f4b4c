"""Expressions inside an existing OpenCV loop: push each frame, draw the newest result.

python opencv_loop.py talk.mp4            # or a camera number
python opencv_loop.py 0 --show
"""

import argparse

import cv2

from ferengine import Engine, FrameResult, PushSource

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("video", help="file, URL or camera number")
parser.add_argument("--show", action="store_true", help="open a window; q quits")
arguments = parser.parse_args()

capture = cv2.VideoCapture(int(arguments.video) if arguments.video.isdigit() else arguments.video)
latest: dict[str, FrameResult] = {}  # the newest result of each camera
read = 0

with Engine(PushSource("mine")) as engine:  # live: frames are dropped when the engine cannot keep up
    engine.subscribe(lambda result: latest.update({result.camera: result}))
    engine.wait_ready()
    while True:
        more, frame = capture.read()
        if not more:
            break
        read += 1
        engine.push("mine", frame)
        if result := latest.get("mine"):
            for face in result.faces:
                x, y, w, h = map(round, face.box)
                label = face.expression.smoothed.label if face.expression else "?"
                cv2.rectangle(frame, (x, y), (x + w, y + h), (80, 200, 80), 2)
                cv2.putText(frame, f"{face.track} {label}", (x, y - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (80, 200, 80), 2)
        if arguments.show:
            cv2.imshow("mine", frame)
            if cv2.waitKey(1) == ord("q"):
                break
    engine.end_source("mine")  # frames already pushed still come out
    engine.wait()
    results = engine.summary()["frames"]
    print(f"{read} frames read, {read - results} dropped, {results} results")
