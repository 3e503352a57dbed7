// Correcting the result of stage 3 without training: from doubt to doubt, swaps, pieces, masks that
// were redrawn and are followed from frame to frame, undo.

import * as api from "./api.js";
import { $, createButton, fillList, setText, showError, showMessage } from "./dom.js";
import { keepDraft } from "./drafts.js";
import { openFrame, reloadLabel } from "./frames.js";
import { exchangeAnimals, isSameRuns, packRuns } from "./pixels.js";
import { encodePng } from "./png.js";
import { setMode } from "./review.js";
import { currentFix, isStrokeOpen, isWaiting, parts, state } from "./state.js";
import { showMarks, showState } from "./status.js";
import { isDrag } from "./tools.js";

const POLL_MS = 500;
const SWAPPED = {
  crossing: "until they touch again",
  end: "to the end of the video",
  here: "in this frame alone",
};
const MENUS = ["swap-a", "swap-b"]; // the animals to swap
const ENDED = {
  lost: "the animal is not found beyond",
  drawn: "the next one was drawn by hand",
  "no network": "without the network, it is in no other frame",
};

let atWork = null; // what Esc ends: a search for a crossing, or a mask that is followed
let latestSearch = null; // for a doubt: {text}, what the page says meanwhile
let doubtHint = ""; // what the page says before any search for a doubt
let clicked = null; // the last place on the canvas, with its frame
let pollTimer;

export function connectCorrections() {
  for (const until of Object.keys(SWAPPED)) {
    $(`swap-${until}`).addEventListener("click", () => swap(until));
  }
  for (const id of MENUS) $(id).addEventListener("change", allowSwaps);
  $("delete-piece").addEventListener("click", () => movePiece(0));
  $("give-piece").addEventListener("click", () => movePiece(state.animal));
  noteClicks();
  doubtHint = $("doubt-text").textContent;
  $("next-doubt").addEventListener("click", () => findDoubt("next"));
  $("previous-doubt").addEventListener("click", () => findDoubt("previous"));
  return loadCorrections();
}

/** A pan or a pinch begins on a piece, too, and does not mean it. */
function noteClicks() {
  const canvas = $("canvas");
  let press = null;
  canvas.addEventListener("pointerdown", (event) => {
    const isAlone = parts.view.pointers.size === 1; // the view has counted this one
    const isMeant = isAlone && isOnScreen();
    press = isMeant ? { ...parts.view.place(event), frame: state.frame } : null;
  });
  canvas.addEventListener("pointerup", (event) => {
    if (press && !isDrag(press, parts.view.place(event))) clicked = press;
    press = null;
  });
  canvas.addEventListener("pointercancel", () => {
    press = null;
  });
}

/** What a person sees before that is another frame, and not what they would correct. */
const isOnScreen = () => state.pictured === state.frame && state.label.values !== null;

/** Returns whether the frame is on the screen, and says so if it is not. */
function requireOnScreen() {
  if (isOnScreen()) return true;
  showMessage(`Nothing was changed: frame ${state.frame} is not on the screen.`);
  return false;
}

/** Asks for the corrections there are: the results are new. */
export async function loadCorrections() {
  try {
    take(await api.getJson("/api/corrections"));
  } catch (error) {
    showError(error);
    if (isWriting()) poll(api.RETRY_MS);
  }
}

/** `way`: "next" or "previous". */
export async function findDoubt(way) {
  if (state.mode !== "review") return;
  const { visit } = state;
  const search = (latestSearch = { text: "" });
  try {
    const { frame, reasons, pair } = await searchDoubt(way, search);
    if (visit !== state.visit) return; // the person went elsewhere meanwhile
    if (frame === null) {
      $("doubt-text").textContent = `No doubt ${way === "next" ? "after" : "before"} this frame.`;
      return;
    }
    if (pair) choosePair(...pair);
    await openFrame(frame);
    const text = reasons.join(", ");
    $("doubt-text").textContent = `Frame ${frame}: ${text}.`;
    showMessage(text[0].toUpperCase() + text.slice(1));
  } catch (error) {
    showError(error);
  } finally {
    // It was broken off: neither a result nor another search has said anything since.
    if (search === latestSearch && $("doubt-text").textContent === search.text) {
      $("doubt-text").textContent = doubtHint;
    }
  }
}

/** The server looks at some frames at a time. */
async function searchDoubt(way, search) {
  const end = way === "next" ? state.video.num_frames - 1 : 0;
  const { frame, visit } = state;
  let answer = { frame: null, reached: frame };
  while (answer.frame === null && answer.reached !== end && visit === state.visit) {
    $("doubt-text").textContent = search.text = `Looking at frame ${answer.reached} …`;
    answer = await api.getJson(`/api/doubts/${answer.reached}/${way}`);
  }
  return answer;
}

/** `until`: "crossing", "end" or "here". */
export async function swap(until) {
  if (state.mode !== "review" || atWork || state.corrections.animals?.length < 2) return;
  if (!requireOnScreen()) return;
  const [a, b] = MENUS.map((id) => Number($(id).value));
  if (a === b) {
    showMessage("Choose two animals to swap.", true);
    return;
  }
  const { frame, video } = state;
  const work = (atWork = {});
  try {
    const known = { here: frame, end: video.num_frames - 1 };
    const last = known[until] ?? (await searchCrossing(work, frame, a, b));
    const text = `Animals ${a} and ${b} swapped ${SWAPPED[until]}`;
    if (last === null) showMessage("Stopped. Nothing was swapped.");
    else await send("swap", { frame, last, a, b }, text);
  } catch (error) {
    showError(error);
  }
  endWork(work);
}

/** The server looks at some frames at a time. Returns the last frame before two animals touch
 * again, null if the search was stopped. */
async function searchCrossing(work, frame, a, b) {
  let answer = { last: null, reached: frame };
  while (answer.last === null) {
    showBusy(`Looking for the next touch: frame ${answer.reached} … Esc stops`);
    answer = await api.getJson(`/api/crossings/${frame}/${a}/${b}`);
    if (atWork !== work || state.mode !== "review") return null;
  }
  return answer.last;
}

/** The piece under the pointer goes to an animal; 0 deletes it. */
export function movePiece(animal) {
  if (!requireOnScreen()) return;
  const { width, height } = state.video;
  const place = parts.view.pointer ?? (clicked?.frame === state.frame ? clicked : { x: -1, y: -1 });
  const [x, y] = [Math.floor(place.x), Math.floor(place.y)];
  if (x < 0 || y < 0 || x >= width || y >= height) {
    showMessage("Point at the piece, then press the key; or click it, then the button.", true);
    return;
  }
  const text = animal ? `The piece is now of animal ${animal}` : "Piece deleted";
  change("piece", { frame: state.frame, x, y, animal }, text);
}

export const undoCorrection = () =>
  change("undo", {}, "Undone", "Ctrl+Shift+Z brings it back.");

export const redoCorrection = () => change("redo", {}, "Done again");

function change(what, content, text, advice) {
  if (state.mode === "review" && !atWork) send(what, content, text, advice).catch(showError);
}

async function send(what, content, text, advice = "Ctrl+Z undoes it.") {
  const answer = await api.postJson(`/api/corrections/${what}`, content);
  take(answer);
  const { changed } = answer;
  const frames = changed.length > 1 ? ` (${changed.length} frames)` : "";
  showMessage(`${text}${frames}. ${advice}`);
}

/** The label on the screen, which began as the result of this frame, becomes its result. */
export async function correctFrame() {
  const { frame, label, video } = state;
  if ($("apply").disabled || atWork) return; // Ctrl+Enter presses no button
  const fix = currentFix();
  if (!fix || !label.values || isStrokeOpen()) return;
  if (isWaiting()) {
    showMessage("A click is not answered yet. Wait for it, or take it back with Ctrl+Z.", true);
    return;
  }
  $("apply").disabled = true;
  try {
    const { result, lone } = fix;
    const values = exchangeAnimals(label.values, 1, lone ?? 1);
    const now = await api.getMask("result", frame);
    if (!isSameRuns(packRuns(now.values), result)) {
      throw new Error("The result of this frame has changed. Press R, then M, to begin anew.");
    }
    const png = await encodePng(values, video.width, video.height);
    take(await api.post(`/api/corrections/masks/${frame}`, png));
    await forgetFix(frame);
    await setMode("review");
    await follow(frame);
  } catch (error) {
    showError(error);
  }
  $("apply").disabled = false;
}

/** What was drawn is in the result now: the label is as it was before that, or as it was saved. */
async function forgetFix(frame) {
  const work = state.works.get(frame);
  work.returnTo(state.fixing.get(frame).before);
  state.fixing.delete(frame);
  await keepDraft(frame, work);
}

/** Follows the mask of a frame forwards, then backwards, until it agrees with what is there. */
async function follow(frame) {
  const work = (atWork = {});
  const reached = { next: frame, previous: frame };
  const notes = new Set();
  try {
    for (const way of ["next", "previous"]) {
      let ended = "";
      while (atWork === work && !ended) {
        showFollowing(reached[way], way);
        const answer = await api.post(`/api/corrections/follow/${way}`);
        ended = answer.ended;
        if (!ended) reached[way] = answer.changed[0];
        take(answer);
      }
      if (ENDED[ended]) notes.add(ENDED[ended]);
    }
  } finally {
    endWork(work);
  }
  const { next, previous } = reached;
  const frames = next === previous ? `Frame ${frame} is` : `Frames ${previous} to ${next} are`;
  const rest = notes.size ? `; ${[...notes].join("; ")}` : "";
  showMessage(`${frames} corrected${rest}. Ctrl+Z undoes it.`);
}

/** Ends it where it is: nothing is swapped, and what was followed so far stays. Returns whether
 * there was something. */
export function stopWork() {
  const was = atWork;
  atWork = null;
  return was !== null;
}

function endWork(work) {
  if (atWork === work) atWork = null;
  if (!atWork) $("busy").hidden = true; // otherwise something else has begun meanwhile
}

function showFollowing(frame, way) {
  const next = frame + (way === "next" ? 1 : -1);
  showBusy(
    state.network === "loading"
      ? "The mask is followed when the network is loaded …"
      : `Following the mask into frame ${next} … Esc stops`,
  );
}

function showBusy(text) {
  $("busy").hidden = false;
  $("busy-text").textContent = text;
}

// What the page shows

/** Takes an answer of the server: the corrections, and which masks have changed. */
function take(answer) {
  state.corrections = answer;
  showPanel();
  showMarks();
  showState();
  if (answer.changed.includes(state.frame) && state.mode === "review") reloadLabel();
  if (isWriting()) poll();
}

/** Shows how far the files are, until they are as the page. */
function poll(delay = POLL_MS) {
  clearTimeout(pollTimer);
  pollTimer = setTimeout(async () => {
    await loadCorrections();
    if (!isWriting()) parts.runPanel.loadResults().catch(showError);
  }, delay);
}

/** After an error nothing is written until the next correction. */
function isWriting() {
  const { writing } = state.corrections;
  return Boolean(writing && !writing.error && (writing.masks || writing.overlay));
}

function showPanel() {
  const { available, reason, animals = [], summary, list = [], writing } = state.corrections;
  $("swap-part").hidden = animals.length < 2;
  $("give-piece").hidden = animals.length < 2;
  const areOther = MENUS.map((id) =>
    fillList($(id), animals, () => animals.map((animal) => new Option(animal))),
  );
  // Not while a person chooses: both are the same between the first choice and the second.
  if (areOther.includes(true) && animals.length > 1) choosePair(...animals);
  const none = available ? "No corrections yet." : (reason ?? "");
  setText($("corrections-text"), summary ? `${summary}.` : none);
  fillList($("corrections"), list, () => list.toReversed().map(showEntry));
  setText($("writing-text"), describeWriting(writing));
}

function showEntry({ text, frame, note }) {
  const item = document.createElement("li");
  const button = createButton(text[0].toUpperCase() + text.slice(1), () => openFrame(frame));
  button.title = note || `Show frame ${frame}`;
  item.append(button);
  if (note) item.append(note);
  return item;
}

function describeWriting(writing) {
  if (writing?.error) return writing.error;
  if (writing?.masks) return `Writing masks: ${writing.masks} to go.`;
  if (writing?.overlay) return "Masks are written; the overlay video follows.";
  return "";
}

function choosePair(a, b) {
  $("swap-a").value = a;
  $("swap-b").value = b;
  allowSwaps();
}

/** An animal is not swapped with itself. */
function allowSwaps() {
  const [a, b] = MENUS.map((id) => $(id).value);
  for (const until of Object.keys(SWAPPED)) $(`swap-${until}`).disabled = a === b;
}
