// Labels as plain arrays: one byte per pixel of the frame, row by row, whatever the zoom.
// The low seven bits are the animal's number, 0 for background; the high bit says that the pixel
// was drawn by hand, so that a later click elsewhere leaves it alone.

export const BY_HAND = 128;
export const NUMBER = 127;

/** Run lengths of an array: [length, value, length, value, ...]. */
export function packRuns(values) {
  const runs = [];
  let start = 0;
  for (let i = 1; i <= values.length; i++) {
    if (i === values.length || values[i] !== values[start]) {
      runs.push(i - start, values[start]);
      start = i;
    }
  }
  return Uint32Array.from(runs);
}

/** Whether they are those of a label without any mark. */
export const isBlank = (runs) => runs.length === 2 && runs[1] === 0;

export const isSameRuns = (a, b) =>
  a.length === b.length && a.every((value, i) => value === b[i]);

export function unpackRuns(runs, target) {
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    target.fill(runs[i + 1], at, at + runs[i]);
    at += runs[i];
  }
  return target;
}

/** Sets every pixel whose centre is within `radius` of the line from (x0, y0) to (x1, y1). */
export function paintLine(label, x0, y0, x1, y1, radius, value) {
  const { width, height, values } = label;
  const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius));
  const right = Math.min(width - 1, Math.ceil(Math.max(x0, x1) + radius));
  const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + radius));
  const dx = x1 - x0;
  const dy = y1 - y0;
  const squared = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const px = x + 0.5 - x0;
      const py = y + 0.5 - y0;
      const along = squared ? Math.min(1, Math.max(0, (px * dx + py * dy) / squared)) : 0;
      const offX = px - along * dx;
      const offY = py - along * dy;
      if (offX * offX + offY * offY <= radius * radius) values[y * width + x] = value;
    }
  }
  return { left, top, right, bottom };
}

/** Sets every pixel whose centre lies in the polygon (even-odd), given as [[x, y], ...]. */
export function paintPolygon(label, corners, value) {
  const { width, height, values } = label;
  const ys = corners.map((corner) => corner[1]);
  const top = Math.max(0, Math.floor(Math.min(...ys)));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(...ys)));
  for (let y = top; y <= bottom; y++) {
    const crossings = [];
    corners.forEach(([x0, y0], i) => {
      const [x1, y1] = corners[(i + 1) % corners.length];
      if (y0 <= y + 0.5 !== y1 <= y + 0.5) {
        crossings.push(x0 + ((y + 0.5 - y0) / (y1 - y0)) * (x1 - x0));
      }
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const first = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const last = Math.min(width, Math.ceil(crossings[i + 1] - 0.5));
      if (last > first) values.fill(value, y * width + first, y * width + last);
    }
  }
}

/** Gives one animal the pixels of a mask of 0 and 1, and takes from it those it had besides. */
export function applyMask(values, mask, animal) {
  for (let i = 0; i < values.length; i++) {
    const number = values[i] & NUMBER;
    if (mask[i] && number !== animal) values[i] = animal;
    else if (!mask[i] && number === animal) values[i] = 0;
  }
}

/** The numbers of animals, two of which change places, without what was drawn by hand. */
export function exchangeAnimals(values, a, b) {
  const numbers = Uint8Array.from({ length: NUMBER + 1 }, (_, i) => i);
  [numbers[a], numbers[b]] = [b, a];
  return values.map((value) => numbers[value & NUMBER]);
}

export function countAnimals(values) {
  const counts = new Uint32Array(NUMBER + 1);
  for (let i = 0; i < values.length; i++) counts[values[i] & NUMBER]++;
  return counts;
}
