// Labels in colours and words.

const PALETTE = ["#eb4c4c", "#6cae60", "#9e6ec7", "#f5be32", "#3c8ae0", "#46c8c8", "#a9b4be", "#f58c50", "#f578aa", "#b4dc78"];
export const UNKNOWN = "#e1e1e1";

let labels = [];

// The labels of the model; whether they are others than before.
export function setLabels(now) {
  const changed = now.join() !== labels.join();
  labels = now;
  return changed;
}

export const colourOf = (label) => (labels.includes(label) ? PALETTE[labels.indexOf(label) % PALETTE.length] : UNKNOWN);
const percent = (score) => `${Math.round(100 * score)} %`;

export function described(face) {
  const smoothed = face.expression?.smoothed;
  const why = (face.expression?.reason ?? face.reason)?.replaceAll("_", " ");
  const instead = why ?? (face.heads ? "" : "not classified"); // a model may read no expression
  if (!smoothed) return { label: instead, best: 0, text: instead, colour: UNKNOWN };
  const { label, scores } = smoothed;
  const best = scores[label] ?? Math.max(...Object.values(scores)); // an uncertain face has scores, and no score of its label
  return { label, best, text: why ? `${label}: ${why}` : `${label} ${percent(best)}`, colour: colourOf(label) };
}

// What a further head of the model reads: a class, the labels that are there, or numbers.
export function said({ kind, label, smoothed }) {
  if (kind === "classes") return `${label} ${percent(smoothed[label])}`;
  const numbers = Object.entries(smoothed);
  if (kind === "values") return numbers.map(([name, value]) => `${name} ${Number(value.toPrecision(3))}`).join(", ");
  return numbers.filter(([, value]) => value >= 0.5).map(([name]) => name).join(", ") || "none";
}

// An element with a dot of a colour before its text.
export function item(kind, text, colour) {
  const made = document.createElement(kind);
  const dot = Object.assign(document.createElement("span"), { className: "dot" });
  dot.style.background = colour;
  made.append(dot, text);
  return made;
}

export function commonest(words) {
  const counts = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return Object.keys(counts).sort((a, b) => counts[b] - counts[a])[0];
}
