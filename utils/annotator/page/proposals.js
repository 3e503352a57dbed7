// Masks that the network proposes before anything is clicked. They are no part of the label until
// they are accepted.

import * as api from "./api.js";
import { showError, showMessage } from "./dom.js";
import { addStep } from "./label.js";
import { traceOutlines } from "./outlines.js";
import { applyMask, countAnimals } from "./pixels.js";
import { chosenProposal, currentWork, openProposals, parts, state } from "./state.js";
import { showState } from "./status.js";

const DELAY_MS = 200; // whoever goes through the frames does not want those in between

let timer;
let request = null; // an AbortController

/** Asks for proposals for the frame on the screen, if nothing has been done there yet. */
export function askForProposals() {
  clearTimeout(timer);
  request?.abort();
  state.proposals = null;
  const work = currentWork();
  const isUntouched = state.mode === "label" && work?.at === 0 && work.step.accepted;
  if (isUntouched && state.network === "ready") timer = setTimeout(load, DELAY_MS);
}

async function load() {
  const { frame, visit, video } = state;
  request = new AbortController();
  try {
    const { values, start } = await api.getProposals(frame, request.signal);
    if (visit !== state.visit) return;
    const paths = traceOutlines(values, video.width, video.height);
    const items = [...paths].map(([number, path]) => ({ number, path }));
    items.sort((a, b) => a.number - b.number);
    state.proposals = { frame, values, start, items, chosen: null, isDismissed: false };
    show();
  } catch (error) {
    if (error.name !== "AbortError") showError(error);
  }
}

function show() {
  showState();
  parts.view.draw();
}

/** `by`: 1 chooses the next proposal, -1 the one before. */
export function chooseProposal(by) {
  const open = openProposals();
  if (!open.length) return;
  const at = open.indexOf(chosenProposal());
  state.proposals.chosen = open[(at + by + open.length) % open.length].number;
  show();
}

/** The chosen proposal becomes a part of the label. */
export function acceptProposal() {
  const item = chosenProposal();
  if (!item) return;
  const animal = animalOf(item);
  if (!animal) {
    showMessage("No number is left for another animal.", true);
    return;
  }
  const { prompts, accepted } = currentWork().step;
  applyMask(state.label.values, maskOf(item), animal);
  state.numAnimals = Math.max(state.numAnimals, animal);
  state.animal = animal;
  addStep(prompts, [...accepted, item.number]);
}

export function acceptAllProposals() {
  for (const item of openProposals()) {
    state.proposals.chosen = item.number;
    acceptProposal();
  }
}

export function dismissProposals() {
  if (!openProposals().length) return;
  state.proposals.isDismissed = true;
  show();
}

const maskOf = ({ number }) => state.proposals.values.map((value) => value === number);

/** The number that a proposal gets: that of the labelled frame, or one that is free. */
function animalOf({ number }) {
  if (state.proposals.start !== null) return number;
  const counts = countAnimals(state.label.values);
  if (!counts[state.animal]) return state.animal;
  const free = counts.subarray(1, state.video.colours.length + 1).indexOf(0);
  return free + 1; // 0: none
}

/** Dashed outlines; the chosen one in the colour that it will have. */
export function drawProposals(context, view) {
  if (!view.isShown) return;
  const chosen = chosenProposal();
  const matrix = new DOMMatrix([view.scaleX, 0, 0, view.scaleY, view.left, view.top]);
  for (const item of openProposals()) {
    const path = new Path2D();
    path.addPath(item.path, matrix);
    const isChosen = item === chosen;
    const colour = state.video.colours[(animalOf(item) || 1) - 1].join(",");
    if (isChosen) {
      context.fillStyle = `rgba(${colour}, 0.18)`;
      context.fill(path, "evenodd");
    }
    context.setLineDash([]);
    context.lineWidth = isChosen ? 4.5 : 3.5;
    context.strokeStyle = "rgba(0, 0, 0, 0.55)";
    context.stroke(path);
    context.setLineDash([7, 6]);
    context.lineWidth = isChosen ? 2.5 : 1.5;
    context.strokeStyle = isChosen ? `rgb(${colour})` : "white";
    context.stroke(path);
  }
  context.setLineDash([]);
}
