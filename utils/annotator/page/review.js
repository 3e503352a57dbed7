// Reviewing the result of stage 3, and fixing a frame of it.

import { setAnimal } from "./animals.js";
import { getMask } from "./api.js";
import { setPanel, showHint } from "./controls.js";
import { $, showMessage } from "./dom.js";
import { leaveFrame, reloadLabel } from "./frames.js";
import { addStep, showLabel } from "./label.js";
import { exchangeAnimals, isSameRuns, packRuns } from "./pixels.js";
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
  const lone = await loneNumber().catch(() => null); // opening that label says what is wrong
  if (frame !== state.frame || state.mode !== "review") return;
  await setMode("label");
  const work = currentWork();
  if (frame !== state.frame || state.mode !== "label" || !work) return;
  if (isBeingFixed(frame, work, predicted)) {
    showMessage("This is what was redrawn so far. Ctrl+Z leads back to the result.");
    return;
  }
  const before = work.step;
  state.numAnimals = Math.max(state.numAnimals, lone);
  showLabel(exchangeAnimals(predicted, 1, lone ?? 1));
  if (lone > 1) setAnimal(lone); // otherwise the chosen one may be what the mask lacks
  addStep({});
  state.fixing.set(frame, { result: packRuns(predicted), lone, began: work.step, before });
  showState();
  showMessage("Redraw the animal. Then correct the result, or save a further label and run again.");
}

/** The number that the only animal of the result, where it is always 1, has in the labels of the
 * run; null if there are several animals. */
async function loneNumber() {
  const { animals, labelled } = parts.runPanel.results;
  if (animals.length > 1) return null;
  const numbers = new Set();
  for (const frame of labelled) {
    const isMade = state.saved.labelled.includes(frame);
    if (!isMade && !state.video.annotated.includes(frame)) continue;
    const { values } = await getMask(isMade ? "label" : "annotation", frame);
    for (const value of values) if (value) numbers.add(value);
  }
  return numbers.size > 1 ? null : ([...numbers][0] ?? 1);
}

/** Whether what is on the screen, and unsaved, began as this result. */
function isBeingFixed(frame, work, predicted) {
  const fix = state.fixing.get(frame);
  if (!fix || work.step === work.savedStep || !work.isAfter(fix.began)) return false;
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
