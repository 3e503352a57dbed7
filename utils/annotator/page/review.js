// Reviewing the result of stage 3, and fixing a frame of it.

import { setPanel, showHint } from "./controls.js";
import { $, showMessage } from "./dom.js";
import { leaveFrame, reloadLabel } from "./frames.js";
import { addStep, showLabel } from "./label.js";
import { isSameRuns, packRuns } from "./pixels.js";
import { currentWork, parts, state } from "./state.js";
import { showMarks, showState } from "./status.js";

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
  if (isBeingFixed(frame, work, predicted)) {
    showMessage("This is what was redrawn so far. Ctrl+Z leads back to the result.");
    return;
  }
  const before = work.step;
  showLabel(predicted);
  addStep({});
  state.fixing.set(frame, { result: packRuns(predicted), began: work.step, before });
  showState();
  showMessage("Redraw the animal. Then correct the result, or save a further label and run again.");
}

/** Whether what is on the screen, and unsaved, began as this result. */
function isBeingFixed(frame, work, predicted) {
  const fix = state.fixing.get(frame);
  if (!fix || !work.isDirty || !work.steps.slice(0, work.at + 1).includes(fix.began)) return false;
  return isSameRuns(packRuns(predicted), fix.result);
}

/** Results have come, or others than before. */
export function showResults(results) {
  $("mode-review").disabled = !results.available;
  const shown = (results.animals ?? []).filter((animal) => animal <= state.video.colours.length);
  state.numAnimals = Math.max(state.numAnimals, ...shown);
  showMarks();
  if (state.mode === "review") reloadLabel();
}
