// What the pointer does on the canvas. Each tool is {down, move, up, cancel, draw}, all optional;
// places have x, y in frame pixels and screenX, screenY.

import { BY_HAND, paintLine, paintPolygon } from "./pixels.js";
import { parts, state } from "./state.js";

const CLICK_REACH = { mouse: 5, pen: 8, touch: 12 }; // screen pixels that still are a click

/** Whether a press at one place that ends at another is more than a click. */
export function isDrag(start, end) {
  const reach = CLICK_REACH[start.event.pointerType] ?? 5;
  return Math.hypot(end.screenX - start.screenX, end.screenY - start.screenY) > reach;
}

/** `editor` is what they change the label with; see label.js. */
export function createTools(editor) {
  const polygon = createPolygon(editor);
  return {
    click: createClickTool(editor),
    brush: createBrush(editor, false),
    eraser: createBrush(editor, true),
    polygon,
    hand: { draw: polygon.draw },
  };
}

/** Whether a press means "not this": right button (Control-click on a Mac), Alt key, or the switch
 * of the page. */
function isNegative({ event }) {
  return event.button === 2 || event.ctrlKey || event.altKey || state.isExcluding;
}

function createClickTool(editor) {
  let start = null;
  let end = null;
  let negative = false;
  const isDragged = () => start && end && isDrag(start, end);
  return {
    down(place) {
      start = end = place;
      negative = isNegative(place);
    },
    move(place) {
      if (start) end = place;
    },
    up(place) {
      if (!start) return;
      end = place;
      if (isDragged() && !negative) editor.addBox([start.x, start.y, end.x, end.y]);
      else editor.addClick(start.x, start.y, !negative);
      start = null;
    },
    cancel() {
      start = null;
    },
    draw(context, view) {
      const { clicks, box } = editor.prompts();
      const drawBox = ([left, top, right, bottom]) => {
        const [x0, y0] = view.toScreen(left, top);
        const [x1, y1] = view.toScreen(right, bottom);
        strokeTwice(context, () => context.rect(x0, y0, x1 - x0, y1 - y0), [6, 4]);
      };
      if (isDragged() && !negative) drawBox([start.x, start.y, end.x, end.y]);
      else if (box) drawBox(box);
      for (const click of clicks) drawClick(context, view, click);
      for (const { frame, click: waiting, box: waitingBox } of state.waiting) {
        if (frame !== state.frame) continue;
        if (waitingBox) drawBox(waitingBox);
        else drawClick(context, view, waiting, true);
      }
    },
  };
}

/** One that waits for its answer has three dots in place of plus or minus. */
function drawClick(context, view, click, isWaiting = false) {
  const [x, y] = view.toScreen(click.x, click.y);
  context.beginPath();
  context.arc(x, y, 7, 0, 2 * Math.PI);
  context.fillStyle = click.positive ? "#1f9d55" : "#d64545";
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = "white";
  context.stroke();
  context.beginPath();
  if (isWaiting) {
    context.fillStyle = "white";
    for (const offset of [-3.5, 0, 3.5]) context.rect(x + offset - 1, y - 1, 2, 2);
    context.fill();
    context.beginPath();
    context.setLineDash([4, 4]);
    context.arc(x, y, 12, 0, 2 * Math.PI);
    context.stroke();
    context.setLineDash([]);
    return;
  }
  context.moveTo(x - 3.5, y);
  context.lineTo(x + 3.5, y);
  if (click.positive) {
    context.moveTo(x, y - 3.5);
    context.lineTo(x, y + 3.5);
  }
  context.stroke();
}

/** A white line on a dark one can be seen on every background. */
function strokeTwice(context, trace, dash = []) {
  for (const [style, width] of [
    ["rgba(0, 0, 0, 0.7)", 3.5],
    ["white", 1.5],
  ]) {
    context.beginPath();
    trace();
    context.setLineDash(dash);
    context.lineWidth = width;
    context.strokeStyle = style;
    context.stroke();
  }
  context.setLineDash([]);
}

function createBrush(editor, isEraser) {
  let last = null;
  let value = 0;
  const paint = (place) => {
    const from = last ?? place;
    const radius = state.brushRadius;
    const area = paintLine(state.label, from.x, from.y, place.x, place.y, radius, value);
    last = place;
    parts.view.changed(area);
  };
  return {
    get isDown() {
      return last !== null;
    },
    down(place) {
      if (!editor.canEdit()) return;
      const isEraserEnd = place.event.button === 5; // of a pen
      const erases = isEraser || isEraserEnd || isNegative(place);
      value = erases ? BY_HAND : BY_HAND | state.animal;
      paint(place);
    },
    move(place) {
      if (last) paint(place);
    },
    up() {
      if (!last) return;
      last = null;
      editor.commit();
    },
    cancel() {
      if (!last) return;
      last = null;
      editor.revert();
    },
    draw(context, view) {
      if (!view.pointer || view.isPanning) return;
      const [x, y] = view.toScreen(view.pointer.x, view.pointer.y);
      const radiusX = Math.max(1.5, state.brushRadius * view.scaleX);
      const radiusY = Math.max(1.5, state.brushRadius * view.scaleY);
      strokeTwice(context, () => context.ellipse(x, y, radiusX, radiusY, 0, 0, 2 * Math.PI));
    },
  };
}

/** An open shape stays with its frame: a look at others, or another tool, does not end it. */
function createPolygon(editor) {
  const shapes = new Map(); // frame -> {corners, negative}
  let pressed = null;
  /** The open shape on the screen: keys mean no other. */
  const shown = () => {
    const isTool = state.tool === "polygon" || state.tool === "hand";
    const isSeen = isTool && state.mode === "label" && state.pictured === state.frame;
    return (isSeen && shapes.get(state.frame)) || { corners: [], negative: false };
  };
  const isNearFirst = (place, corners) => {
    if (corners.length < 3) return false;
    const [x, y] = parts.view.toScreen(...corners[0]);
    return Math.hypot(place.screenX - x, place.screenY - y) < 12;
  };
  const tool = {
    get corners() {
      return shown().corners.length;
    },
    /** Whether any frame has an open shape. */
    get isAnyOpen() {
      return [...shapes.values()].some(({ corners }) => corners.length > 0);
    },
    down(place) {
      pressed = place;
    },
    up(place) {
      if (!pressed || !editor.canEdit()) return;
      pressed = null;
      const shape = shown();
      if (isNearFirst(place, shape.corners)) {
        tool.close();
        return;
      }
      if (!shape.corners.length) shape.negative = isNegative(place);
      shape.corners.push([place.x, place.y]);
      shapes.set(state.frame, shape);
      editor.changedShape();
    },
    cancel() {
      pressed = null;
    },
    close() {
      const { corners, negative } = shown();
      if (corners.length < 3 || !editor.canEdit()) return;
      paintPolygon(state.label, corners, negative ? BY_HAND : BY_HAND | state.animal);
      tool.drop();
      editor.commit();
    },
    back() {
      shown().corners.pop();
      editor.changedShape();
    },
    drop() {
      shapes.delete(state.frame);
      editor.changedShape();
    },
    draw(context, view) {
      const { corners } = shown();
      if (!corners.length) return;
      const points = corners.map(([x, y]) => view.toScreen(x, y));
      strokeTwice(context, () => {
        points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
        const isNextHere = view.pointer && !view.isPanning;
        if (isNextHere) context.lineTo(...view.toScreen(view.pointer.x, view.pointer.y));
      });
      points.forEach(([x, y], i) => {
        context.beginPath();
        context.arc(x, y, i ? 3.5 : 6, 0, 2 * Math.PI);
        context.fillStyle = "white";
        context.fill();
        context.lineWidth = 1.5;
        context.strokeStyle = "black";
        context.stroke();
      });
    },
  };
  return tool;
}
