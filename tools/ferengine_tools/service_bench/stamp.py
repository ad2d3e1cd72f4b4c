"""Time in an image: a strip of black and white blocks along its lower edge, which survives scaling and encoding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 20
"""Blocks, one a bit, the lowest first: milliseconds up to 17 minutes, then again from 0."""
STRIP = 24
"""Rows of the strip, in an image of 360."""
PERIOD = 1 << BITS


def put_stamp(image: NDArray[np.uint8], milliseconds: int) -> None:
    """Write a time into an image, in place."""
    bits = np.array([milliseconds >> bit & 1 for bit in range(BITS)], np.uint8)
    columns = np.arange(image.shape[1]) * BITS // image.shape[1]
    image[-STRIP:] = (255 * bits)[columns][None, :, None]


def read_stamp(image: NDArray[np.uint8]) -> int:
    """The time in an image, milliseconds modulo ``PERIOD``."""
    width = image.shape[1]
    row = image[-STRIP // 2]
    return sum(int(row[(2 * bit + 1) * width // (2 * BITS)].mean() > 127) << bit for bit in range(BITS))


READ_IN_BROWSER = f"""
(video, canvas) => {{
  const context = canvas.getContext("2d", {{ willReadFrequently: true }});
  canvas.width = {BITS};
  canvas.height = 1;
  const w = video.videoWidth, h = video.videoHeight;
  for (let bit = 0; bit < {BITS}; bit++) {{
    context.drawImage(video, (2 * bit + 1) * w / {2 * BITS}, h - {STRIP // 2}, 1, 1, bit, 0, 1, 1);
  }}
  const data = context.getImageData(0, 0, {BITS}, 1).data;
  let stamp = 0;
  for (let bit = 0; bit < {BITS}; bit++) stamp += data[4 * bit + 1] > 127 ? 2 ** bit : 0;
  return stamp;
}}
"""
"""The same in JavaScript, from the frame that a video element shows."""
