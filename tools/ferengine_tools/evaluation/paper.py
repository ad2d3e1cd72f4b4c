"""Results of Y. Zhao, "Facial Expression Recognition Based on Various Deep Neural Networks", to compare with."""

from __future__ import annotations

import numpy as np

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The order of Table I, by FER-2013's names."""

TABLE_ONE = np.array(
    [
        [0.59, 0.04, 0.21, 0.04, 0.12, 0.03, 0.07],
        [0.06, 0.69, 0.05, 0.06, 0.03, 0.03, 0.04],
        [0.03, 0.02, 0.61, 0.04, 0.13, 0.02, 0.15],
        [0.03, 0.01, 0.03, 0.81, 0.03, 0.03, 0.06],
        [0.02, 0.02, 0.11, 0.02, 0.71, 0.10, 0.06],
        [0.04, 0.01, 0.21, 0.06, 0.03, 0.61, 0.04],
        [0.08, 0.01, 0.07, 0.07, 0.05, 0.02, 0.70],
    ]
)
"""Table I as printed, float64 (7, 7): fractions of each actual class (rows) by predicted class (columns). Most rows do not sum
to 1."""

ACCURACY = {"cnn": 0.5715, "vgg": 0.5883, "resnet18": 0.6}
"""Section V and abstract: fractions of FER-2013's test images, by this project's names of the networks."""

MICROSECONDS = 220.0
"""Section V: one face, (0.22 +- 0.05) ms, on a machine that the paper does not name."""
