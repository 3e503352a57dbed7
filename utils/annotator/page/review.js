// Reviewing the result of stage 3, and fixing a frame of it.

import { setPanel, showHint } from "./controls.js";
import { $, showMessage } from "./dom.js";
import { leaveFrame, reloadLabel } from "./frames.js";
import { addStep, showLabel } from "./label.js";
import { currentWork, parts, state } from "./state.js";
import { showMarks } from "./status.js";

/** `mode`: "label" or "review". */
export async function setMode(mode) {
  const { results } = parts.runPanel;
  if (mode === state.mode || (mode === "review" && !results.available)) return;
  leaveFrame();
  state.mode = document.body.dataset.mode = mode;
  setPanel(false);
  $("mode-label").setAttribute("aria-pressed", mode === "label");
  $("mode-review").setAttribute("aria-pressed", mode === "review");
  $("tools").inert = mode === "review";
  $("review-bar").hidden = $("correct").hidden = mode !== "review";
  $("watch").disabled = !results.has_overlay;
  showHint();
  showMarks();
  await reloadLabel();
}

/** The predicted mask becomes the beginning of a label. */
export async function fixFrame() {
  if (state.mode !== "review" || !state.label.values) return;
  const predicted = state.label.values.slice();
  const { frame } = state;
  await setMode("label");
  const work = currentWork();
  if (frame !== state.frame || state.mode !== "label" || !work) return;
  if (state.fixing.has(frame) && work.isDirty) {
    showMessage("This is what was redrawn so far. Ctrl+Z leads back to the result.");
    return;
  }
  state.fixing.set(frame, work.step);
  showLabel(predicted);
  addStep({});
  showMessage("Redraw the animal. Then correct the result, or save a further label and run again.");
}

/** Results have come, or others than before. */
export function showResults(results) {
  $("mode-review").disabled = !results.available;
  const shown = (results.animals ?? []).filter((animal) => animal <= state.video.colours.length);
  state.numAnimals = Math.max(state.numAnimals, ...shown);
  showMarks();
  if (state.mode === "review") reloadLabel();
}
