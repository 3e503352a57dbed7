// The tools and how the label is shown: which tool, include or exclude, brush, opacity.

import { $, showMessage } from "./dom.js";
import { parts, state } from "./state.js";

const MAX_BRUSH_PX = 100;
const HINTS = {
  click: "Click the animal, or drag a box around it. Right-click what does not belong to it.",
  touch: "Tap the animal, or drag a box around it. Exclude: tap what does not belong to it.",
  brush: "Paint what belongs to the animal.",
  eraser: "Erase what does not belong to it.",
  polygon: "Click one corner after the other; click the first one again to fill the shape.",
  hand: "Drag to move, turn the wheel to zoom.",
  scale: "Drag along something whose length you know, or click both of its ends.",
  exclude: "Click what does not belong to the animal.",
  review: "Arrow keys step through the result, D leads to the next doubt.",
};

export function setTool(name) {
  const { tools } = parts;
  tools[state.tool].cancel?.();
  const isShapeOpen = tools.polygon.corners > 0;
  state.tool = name;
  if (isShapeOpen && !tools.polygon.corners) showMessage("The open shape is kept: P shows it.");
  for (const each of $("tools").querySelectorAll("[data-tool]")) {
    each.setAttribute("aria-pressed", each.dataset.tool === name);
  }
  setPanning(false);
  showHint();
}

export function setPanning(isHeld) {
  const { tool, mode } = state;
  const { view } = parts;
  view.isPanning = isHeld || tool === "hand" || mode === "review";
  $("canvas").classList.toggle("hand", view.isPanning);
  const isBrush = tool === "brush" || tool === "eraser";
  $("canvas").classList.toggle("bare", isBrush && !view.isPanning);
  view.draw();
}

export function setExcluding(is) {
  state.isExcluding = is;
  $("exclude").setAttribute("aria-pressed", is);
  showHint();
}

export function showHint() {
  let key = state.tool;
  if (key === "click" && matchMedia("(pointer: coarse)").matches) key = "touch";
  if (state.tool === "click" && state.isExcluding) key = "exclude";
  $("hint").textContent = HINTS[state.mode === "review" ? "review" : key];
  showShape();
  setPanning(false);
}

/** What can be done to the open shape, if there is one on the screen. */
export function showShape() {
  const { corners } = parts.tools.polygon;
  $("shape-bar").hidden = !corners;
  $("shape-close").disabled = corners < 3;
  parts.view.draw();
}

export function setBrush(radius) {
  state.brushRadius = Math.max(1, Math.min(MAX_BRUSH_PX, radius));
  $("brush-size").value = state.brushRadius;
  $("brush-output").textContent = `${2 * state.brushRadius} px`;
  parts.view.draw();
}

export const shrinkBrush = () =>
  setBrush(Math.min(state.brushRadius - 1, Math.round(state.brushRadius / 1.25)));

export const growBrush = () =>
  setBrush(Math.max(state.brushRadius + 1, Math.round(state.brushRadius * 1.25)));

/** Shows the settings and the next step, where the screen is too narrow for them beside it. */
export function setPanel(isOpen) {
  document.body.classList.toggle("panel-open", isOpen);
  $("panel-toggle").setAttribute("aria-expanded", isOpen);
}

export function setOpacity(percent) {
  parts.view.opacity = percent / 100;
  $("opacity").value = percent;
  $("opacity-output").textContent = `${percent} %`;
  parts.view.draw();
}

export function setShown(is) {
  parts.view.isShown = is;
  $("shown").checked = is;
  parts.view.draw();
}
