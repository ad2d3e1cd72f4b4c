// Boxes, tags and bars over the video, and timelines below it.

import { colourOf, commonest, described } from "./words.js";

const TIMELINE_SECONDS = 180;
const BAR_ROW = 15;

// Bars go beside their face where they cover neither another face nor other bars; the names below the video say it anyway.
export function drawFaces(ink, faces, boxes, canvas) {
  const taken = [...boxes];
  const meets = ([left, top, width, height]) => taken.some((other) =>
    left < other[0] + other[2] && other[0] < left + width && top < other[1] + other[3] && other[1] < top + height);
  const room = canvas.clientWidth >= 380;
  faces.forEach((face, number) => {
    const scores = Object.entries(face.expression?.smoothed.scores ?? {}).slice(0, 8);
    const [left, top, width] = boxes[number];
    const [wide, tall] = [126, BAR_ROW * scores.length + 8];
    const from = Math.max(2, Math.min(top, canvas.clientHeight - tall - 4));
    const places = [[left + width + 6, from, wide, tall], [left - wide - 6, from, wide, tall]];
    const place = places.find((each) => each[0] >= 0 && each[0] + wide <= canvas.clientWidth && !meets(each));
    if (!room || !scores.length || !place) return;
    taken.push(place);
    drawBars(ink, face, scores, place);
  });
  faces.forEach((face, number) => drawBox(ink, face, boxes[number], canvas));
}

function drawBars(ink, face, scores, [left, top, width, height]) {
  ink.fillStyle = "#05080bb8";
  ink.beginPath();
  ink.roundRect(left, top, width, height, 8);
  ink.fill();
  ink.font = "11px system-ui, sans-serif";
  ink.textBaseline = "middle";
  ink.textAlign = "left";
  scores.forEach(([name, score], number) => {
    const middle = top + 4 + BAR_ROW * (number + 0.5);
    ink.fillStyle = name === face.expression.smoothed.label ? "#fff" : "#b8c4ce";
    ink.fillText(name, left + 8, middle);
    ink.fillStyle = "#ffffff22";
    ink.fillRect(left + 64, middle - 3, 54, 6);
    ink.fillStyle = colourOf(name);
    ink.fillRect(left + 64, middle - 3, 54 * score, 6);
  });
}

function drawBox(ink, face, [left, top, width, height], canvas) {
  const { text, colour } = described(face);
  ink.strokeStyle = colour;
  ink.lineWidth = face.origin === "detected" ? 3 : 2;
  ink.beginPath();
  ink.roundRect(left, top, width, height, 6);
  ink.stroke();
  ink.font = "600 13px system-ui, sans-serif";
  ink.textBaseline = "middle";
  ink.textAlign = "left";
  const tag = `${face.track === null ? "" : `#${face.track} `}${text}`;
  const long = ink.measureText(tag).width + 14;
  const x = Math.max(2, Math.min(left - 1, canvas.clientWidth - long - 2));
  const y = top - 24 > 2 ? top - 24 : Math.max(2, top + 4);
  ink.fillStyle = colour;
  ink.beginPath();
  ink.roundRect(x, y, long, 21, 6);
  ink.fill();
  ink.fillStyle = "#10161c";
  ink.fillText(tag, x + 7, y + 11);
}

// The context of a canvas that has a pixel for each of the screen, and how many these are to one of CSS.
export function fitted(canvas, sides = 0, below = 0) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round((canvas.clientWidth - 2 * sides) * scale));
  const height = Math.max(1, Math.round((canvas.clientHeight - below) * scale));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return [canvas.getContext("2d"), scale];
}

// `people` are samples by track: when, label, score.
export function drawTimeline(canvas, people) {
  const [ink, scale] = fitted(canvas, 14, 12);
  const width = canvas.width / scale;
  const height = canvas.height / scale;
  const now = Date.now() / 1000;
  for (const [track, samples] of people) {
    while (samples.length && samples[0][0] < now - TIMELINE_SECONDS) samples.shift();
    if (!samples.length) people.delete(track);
  }
  const shown = [...people].sort((a, b) => b[1].at(-1)[0] - a[1].at(-1)[0]).slice(0, 4).sort((a, b) => a[0] - b[0]);
  const css = getComputedStyle(document.documentElement);
  const left = 34;
  const at = (when) => left + (width - left) * (1 - (now - when) / TIMELINE_SECONDS);
  ink.setTransform(scale, 0, 0, scale, 0, 0);
  ink.clearRect(0, 0, width, height);
  ink.font = "11px system-ui, sans-serif";
  ink.textBaseline = "middle";
  for (const minute of [0, 1, 2, 3]) {
    ink.fillStyle = css.getPropertyValue("--soft");
    ink.textAlign = minute === 0 ? "right" : minute === 3 ? "left" : "center";
    ink.fillText(minute ? `-${minute} min` : "now", at(now - 60 * minute), height - 7);
    ink.fillStyle = css.getPropertyValue("--line");
    ink.fillRect(at(now - 60 * minute) - (minute ? 0 : 1), 2, 1, height - 18);
  }
  const row = Math.min(18, (height - 18) / Math.max(1, shown.length));
  shown.forEach(([track, samples], number) => {
    const top = 2 + number * row;
    ink.fillStyle = css.getPropertyValue("--soft");
    ink.textAlign = "left";
    ink.fillText(`#${track}`, 0, top + row / 2);
    samples.forEach(([when, label, score], index) => {
      const until = Math.min(samples[index + 1]?.[0] ?? when + 1, when + 3);
      ink.globalAlpha = 0.35 + 0.65 * score;
      ink.fillStyle = colourOf(label);
      const [begin, end] = [at(when), at(until)].map((value) => Math.round(value * scale) / scale); // whole pixels: no seams
      ink.fillRect(begin, top + 1, Math.max(1, end - begin), row - 3);
    });
    ink.globalAlpha = 1;
  });
  const said = shown.map(([track, samples]) => `person ${track} mostly ${commonest(samples.map((sample) => sample[1]))}`);
  canvas.setAttribute("aria-label", said.length ? `Last 3 minutes: ${said.join(", ")}` : "No face in the last 3 minutes");
}
