// From labels to their outlines, which can be drawn as dashes at any zoom.

/** Returns a map from each number in `values`, but 0, to a Path2D in pixels of the frame. */
export function traceOutlines(values, width, height) {
  const paths = new Map();
  for (const [number, edges] of collectEdges(values, width, height)) {
    paths.set(number, joinEdges(edges, width + 1));
  }
  return paths;
}

/** Edges of pixels around each number, clockwise: number -> map from a corner to the next ones. */
function collectEdges(values, width, height) {
  const byNumber = new Map();
  const stride = width + 1; // of corners
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const number = values[i];
      if (!number) continue;
      const corner = y * stride + x;
      const add = (from, to) => {
        if (!byNumber.has(number)) byNumber.set(number, new Map());
        const edges = byNumber.get(number);
        if (edges.has(from)) edges.get(from).push(to);
        else edges.set(from, [to]);
      };
      if (y === 0 || values[i - width] !== number) add(corner, corner + 1);
      if (x === width - 1 || values[i + 1] !== number) add(corner + 1, corner + stride + 1);
      if (y === height - 1 || values[i + width] !== number) add(corner + stride + 1, corner + stride);
      if (x === 0 || values[i - 1] !== number) add(corner + stride, corner);
    }
  }
  return byNumber;
}

/** Closed lines through the middles of the edges: steps of one pixel become slopes. */
function joinEdges(edges, stride) {
  const path = new Path2D();
  for (const start of edges.keys()) {
    let from = start;
    let isFirst = true;
    while (edges.get(from)?.length) {
      const to = edges.get(from).pop();
      const x = ((from % stride) + (to % stride)) / 2;
      const y = (Math.floor(from / stride) + Math.floor(to / stride)) / 2;
      if (isFirst) path.moveTo(x, y);
      else path.lineTo(x, y);
      isFirst = false;
      from = to;
    }
    if (!isFirst) path.closePath();
  }
  return path;
}
