// Labelling the frame on the screen: what tools do to it, clicks, undo and redo, save, delete.

import * as api from "./api.js";
import { showAnimals } from "./animals.js";
import { showShape } from "./controls.js";
import { $, showError, showMessage } from "./dom.js";
import { deleteLabel, encodeValues, isLabelUnseen, keepDraft, sendLabel } from "./drafts.js";
import { BY_HAND, NUMBER, applyMask, countAnimals, unpackRuns } from "./pixels.js";
import { currentWork, emptyValues, isStrokeOpen, isWaiting, parts, state } from "./state.js";
import { showState } from "./status.js";

const DRAFT_DELAY_MS = 900;
const MIN_BOX_PX = 3;
const STROKE_POLL_MS = 50;
const UNSEEN =
  "Frame # has a label that is not on the screen: it cannot be read, or it was made or changed " +
  "elsewhere meanwhile. Replace it?";

/** Not before the picture is there: what is drawn on another frame's would be in the wrong place. */
const canEdit = () =>
  state.mode === "label" && state.pictured === state.frame && Boolean(currentWork());

/** What the tools see and do. */
export const editor = {
  canEdit,
  prompts: () => currentWork()?.step.prompts[state.animal] ?? { clicks: [], box: null },
  addClick(x, y, positive) {
    const { width, height } = state.video;
    if (!canEdit() || x < 0 || y < 0 || x > width || y > height) return;
    const click = { x, y, positive };
    queueSegmentation(({ clicks, box }) => ({ clicks: [...clicks, click], box }), { click });
  },
  addBox([x0, y0, x1, y1]) {
    if (!canEdit()) return;
    const { width, height } = state.video;
    const within = (value, size) => Math.max(0, Math.min(size, value));
    const box = [
      within(Math.min(x0, x1), width),
      within(Math.min(y0, y1), height),
      within(Math.max(x0, x1), width),
      within(Math.max(y0, y1), height),
    ];
    if (box[2] - box[0] < MIN_BOX_PX || box[3] - box[1] < MIN_BOX_PX) {
      editor.addClick(x0, y0, true); // the mouse moved a little while it was pressed
      return;
    }
    queueSegmentation(({ clicks }) => ({ clicks, box }), { box });
  },
  commit() {
    addStep(currentWork().step.prompts);
  },
  revert() {
    showStep();
  },
  changedShape: showShape,
};

export function showLabel(values) {
  state.label.values = values;
  const counts = countAnimals(values);
  let last = NUMBER;
  while (last > 0 && !counts[last]) last--;
  state.numAnimals = Math.max(last, state.numAnimals);
  parts.view.setLabel(state.label);
  showAnimals(counts);
}

export function hideLabel() {
  state.label.values = null;
  parts.view.label = null;
  showState();
}

/** Shows the present step of the history. */
export function showStep() {
  showLabel(unpackRuns(currentWork().step.runs, state.label.values ?? emptyValues()));
  showState();
}

let numAsked = 0; // what a person has asked for so far, in the order of asking

/**
 * The label on the screen becomes the next step of the history. `accepted`: the proposals that it
 * is made of, or null. `asked`: when it was asked for; the answer to a click comes later.
 */
export function addStep(prompts, accepted = null, asked = ++numAsked) {
  currentWork().add(state.label.values, prompts, accepted, asked);
  afterEdit();
}

let draftTimer;

function afterEdit() {
  parts.view.changed();
  showAnimals(countAnimals(state.label.values));
  showState();
  const { frame } = state;
  const work = currentWork();
  clearTimeout(draftTimer);
  draftTimer = setTimeout(() => keepDraft(frame, work), DRAFT_DELAY_MS);
}

/** `by`: -1 undoes, 1 redoes. */
export function moveInHistory(by) {
  const { polygon } = parts.tools;
  if (by < 0 && polygon.corners) {
    polygon.back();
    return;
  }
  const work = currentWork();
  if (state.mode !== "label" || !work) return;
  if (isStrokeOpen()) {
    if (by < 0) parts.tools[state.tool].cancel();
    return;
  }
  const waiting = state.waiting.findLast(({ frame }) => frame === state.frame);
  // What was asked for last is undone first, be it answered or not.
  if (by < 0 && waiting && waiting.asked > work.step.asked) {
    dropWaiting(waiting);
    showMessage(`The ${waiting.box ? "box" : "click"} was taken back.`);
    return;
  }
  if (!work.steps[work.at + by]) return;
  work.at += by;
  showStep();
  afterEdit();
}

export function clearAnimal() {
  if (!canEdit()) return;
  const { values } = state.label;
  for (let i = 0; i < values.length; i++) {
    // Also where the eraser has been: nobody sees why clicks find nothing there.
    if ((values[i] & NUMBER) === state.animal || values[i] === BY_HAND) values[i] = 0;
  }
  const prompts = { ...currentWork().step.prompts };
  delete prompts[state.animal];
  addStep(prompts);
}

// Clicks and boxes

let segmenting = Promise.resolve();

/** Clicks are answered one after the other, each on what the one before gave. */
function queueSegmentation(change, { click = null, box = null }) {
  const { frame, animal } = state;
  const entry = { frame, click, box, asked: ++numAsked };
  state.waiting.push(entry);
  showWaiting();
  segmenting = segmenting
    .then(() => segment(entry, { animal, change, fresh: box !== null }))
    .catch(showError)
    .finally(() => dropWaiting(entry));
}

/** It is answered, or taken back. */
function dropWaiting(entry) {
  state.waiting = state.waiting.filter((each) => each !== entry);
  showWaiting();
}

/** Shows whether clicks wait for their answer, and for what. */
export function showWaiting() {
  $("busy").hidden = !state.waiting.length;
  $("busy-text").textContent =
    state.network === "loading"
      ? "The click is answered when the network is loaded …"
      : "Finding the outline …";
  $("canvas").classList.toggle("waiting", isWaiting());
  showState();
  parts.view.draw();
}

/** One that something was drawn or undone below is answered again, on what is there now. */
async function segment(entry, { animal, change, fresh }) {
  const { frame, asked } = entry;
  const work = state.works.get(frame);
  const isTakenBack = () => !state.waiting.includes(entry);
  const isLeft = () =>
    frame !== state.frame || work !== currentWork() || !work || state.mode !== "label";
  if (isTakenBack()) return;
  if (isLeft()) return showLeft(frame);
  const before = work.step;
  const { values } = state.label;
  // A mask that was there before the first click is trusted, but a new box starts over.
  const first = { clicks: [], box: null, given: countAnimals(values)[animal] > 0 };
  const last = before.prompts[animal] ?? first;
  const prompts = { ...change(last), given: last.given && !fresh };
  const png = await encodeValues(values);
  const mask = await api.segment(frame, { animal, fresh, ...prompts }, png);
  while (isStrokeOpen()) await new Promise((go) => setTimeout(go, STROKE_POLL_MS));
  if (isTakenBack()) return;
  if (isLeft()) return showLeft(frame);
  if (work.step !== before) return segment(entry, { animal, change, fresh });
  const advice = fresh ? "Click the animal, or paint it." : "Try a box around the animal.";
  if (!mask.includes(1)) showMessage(`Nothing found there. ${advice}`);
  applyMask(state.label.values, mask, animal);
  addStep({ ...before.prompts, [animal]: prompts }, null, asked);
}

const showLeft = (frame) =>
  showMessage(`The click in frame ${frame} was not answered: you left it, or its label changed.`);

// Save and delete

export async function save() {
  const work = currentWork();
  if (state.mode !== "label" || !work || $("save").disabled) return;
  $("save").disabled = true;
  const { frame } = state;
  try {
    if (!(await isLabelUnseen(frame, work)) || confirm(UNSEEN.replace("#", frame))) {
      showMessage(`Saved: ${await sendLabel(frame, work)}`);
    }
  } catch (error) {
    showError(error);
  }
  showState();
}

export async function removeLabel(frame) {
  if (!confirm(`Delete the label of frame ${frame}?`)) return;
  try {
    await deleteLabel(frame);
  } catch (error) {
    showError(error);
    return;
  }
  const work = state.works.get(frame);
  if (work) {
    work.loseLabel();
    keepDraft(frame, work);
  }
  showState();
}
