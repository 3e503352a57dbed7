// What the page knows. Nothing here touches the document.

import { isBlank, packRuns } from "./pixels.js";

const MAX_UNDO = 60;

export const state = {
  video: null, // what the server says about it: name, num_frames, height, width, ...
  mode: "label", // or "review"
  frame: -1, // the one on the screen
  pictured: -1, // the frame whose picture is on the screen: an earlier one while that loads
  visit: 0, // counts frame changes: answers to an earlier one are dropped
  label: { values: null, width: 0, height: 0 }, // on the screen; no values: not there yet
  works: new Map(), // frame -> its Work
  saved: { labelled: [], drafts: [] }, // what the server has of which frame; see showSaved
  network: "loading", // or "ready", "failed", "absent"
  waiting: [], // clicks and boxes that are not answered yet: {frame, click, box, asked}
  proposals: null, // {frame, values, start, items: [{number, path}], chosen, isDismissed}
  corrections: { available: false }, // what the server says about them; see correct.js
  fixing: new Map(), // frames whose result is being redrawn; see fixFrame
  animal: 1, // the one that tools mark
  numAnimals: 1,
  tool: "click",
  isExcluding: false,
  brushRadius: 12,
};

/** The parts of the page, made by main.js: view, tools, filmstrip, labelList, runPanel. */
export const parts = {};

/**
 * The work on one frame. A step is {runs, prompts, accepted, asked}: the label, the clicks so far,
 * the numbers of the proposals that it is made of, null if it is made of anything else, and when it
 * was asked for: of two numbers the greater one is the later.
 */
export class Work {
  /** `labelTime`: of the label that this one is to replace, null if there is none. */
  constructor(values, source, labelTime) {
    const accepted = source === "none" ? [] : null;
    this.labelTime = labelTime;
    this.isLabelLost = false;
    this.steps = [{ runs: packRuns(values), prompts: {}, accepted, asked: 0 }];
    this.at = 0;
    this.source = source; // what the label was when the frame was opened: draft, label, ...
    this.savedStep = source === "draft" ? null : this.steps[0];
    this.keptStep = this.steps[0]; // what the server has as a draft, or as what it was opened from
  }

  get step() {
    return this.steps[this.at];
  }

  get isDirty() {
    if (this.step === this.savedStep) return false;
    // Where a label was deleted, nothing drawn is nothing to save.
    return !(this.isLabelLost && isBlank(this.step.runs));
  }

  /**
   * Whether what is on the screen came of a step, also where undo does not lead back that far any
   * more.
   */
  isAfter(step) {
    const at = this.steps.indexOf(step);
    return at < 0 ? this.steps[0].asked > step.asked : at <= this.at;
  }

  /** Its label was deleted: what is on the screen is not saved any more, nor kept as a draft. */
  loseLabel() {
    this.savedStep = this.keptStep = this.labelTime = null;
    this.source = "none";
    this.isLabelLost = true;
  }

  /** Forgets what came after a step. */
  returnTo(step) {
    const at = this.steps.indexOf(step);
    this.steps = at < 0 ? [step] : this.steps.slice(0, at + 1);
    this.at = this.steps.length - 1;
  }

  /** Goes on with a draft of an earlier page: undo leads to the label that there is. */
  addDraft(values) {
    this.add(values, {}, null, 0);
    this.keptStep = this.step;
  }

  add(values, prompts, accepted, asked) {
    this.steps.splice(this.at + 1);
    this.steps.push({ runs: packRuns(values), prompts, accepted, asked });
    if (this.steps.length > MAX_UNDO) this.steps.shift();
    this.at = this.steps.length - 1;
  }
}

/** When the label of a frame was written, as the server said last; null if there is none. */
export const labelTime = (frame) => state.saved.times?.[frame] ?? null;

export const currentWork = () => state.works.get(state.frame);

export const emptyValues = () => new Uint8Array(state.video.width * state.video.height);

export const isWaiting = () => state.waiting.some(({ frame }) => frame === state.frame);

/** Whether a stroke goes on, which is on the screen and no step of the history yet. */
export const isStrokeOpen = () => Boolean(parts.tools[state.tool].isDown);

/** The redrawing that the work on the screen is, undefined if it is none or was undone. */
export function currentFix() {
  const fix = state.mode === "label" ? state.fixing.get(state.frame) : undefined;
  return fix && currentWork()?.isAfter(fix.began) ? fix : undefined;
}

/** Frames with changes that are not saved, in increasing order. */
export function unsavedFrames() {
  const frames = new Set(state.saved.drafts);
  for (const [frame, work] of state.works) {
    if (work.isDirty) frames.add(frame);
    else frames.delete(frame);
  }
  return [...frames].sort((a, b) => a - b);
}

/** The proposals for the frame on the screen that are neither accepted nor dismissed. */
export function openProposals() {
  const { proposals, mode, frame } = state;
  const accepted = currentWork()?.step.accepted;
  const isOver = mode !== "label" || proposals?.frame !== frame || proposals.isDismissed;
  if (isOver || !accepted || isWaiting()) return [];
  return proposals.items.filter(({ number }) => !accepted.includes(number));
}

/** The one that the next key accepts. */
export function chosenProposal() {
  const open = openProposals();
  return open.find(({ number }) => number === state.proposals.chosen) ?? open[0];
}
