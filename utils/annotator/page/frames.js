// Which frame is on the screen: its picture, and its label or result.

import * as api from "./api.js";
import { showShape } from "./controls.js";
import { $, showError, showMessage } from "./dom.js";
import { askForSaved, keepDraft } from "./drafts.js";
import { hideLabel, showLabel, showStep } from "./label.js";
import { askForProposals } from "./proposals.js";
import { Work, currentWork, emptyValues, labelTime, parts, state } from "./state.js";
import { showState } from "./status.js";

const IMAGES_KEPT = 8;
const SHARP = 1.3; // enlargement of a reduced frame from which on the full one is loaded

export async function openFrame(number) {
  const last = state.video.num_frames - 1;
  const next = Math.max(0, Math.min(last, Math.round(Number(number)) || 0));
  if (next === state.frame) {
    parts.filmstrip.show(next);
    return;
  }
  leaveFrame();
  state.frame = next;
  showShape();
  parts.filmstrip.show(next);
  const label = reloadLabel();
  const visit = state.visit;
  await whileBusy(Promise.all([loadImage(next), label]));
  // In a task of its own: whoever drags the slider is at another frame by then.
  setTimeout(() => {
    if (visit === state.visit) for (const other of [next + 1, next - 1]) prefetch(other);
  });
}

/** Keeps the work on the frame that is left, or will be shown in another mode. */
export function leaveFrame() {
  parts.tools[state.tool].cancel?.(); // a stroke that goes on would end in another frame
  if (parts.tools.polygon.corners) showMessage(`The open shape stays in frame ${state.frame}.`);
  const work = currentWork();
  if (!work) return;
  keepDraft(state.frame, work);
  // The label may change on disk meanwhile; what is neither changed nor undone is read again.
  if (!work.isDirty && work.steps.length === 1) state.works.delete(state.frame);
}

/** Loads the label or the result of the frame, whatever was shown before. */
export function reloadLabel() {
  hideLabel();
  return whileBusy(loadLabel(++state.visit));
}

let busyCount = 0;

/** The canvas is busy for as long as it does not show the whole of what was asked for. */
function whileBusy(promise) {
  const add = (change) => {
    busyCount += change;
    $("canvas").setAttribute("aria-busy", busyCount > 0);
  };
  add(1);
  return promise.finally(() => add(-1));
}

// Pictures

let image = null; // the one on the screen: {frame, size, element}
const images = new Map(); // "frame size" -> promise of an element

/** Shows the picture of a frame; none, rather than that of another frame, if it cannot be read. */
async function loadImage(frame) {
  const element = await fetchImage(frame, "display").catch((error) => {
    if (frame === state.frame) showError(error);
    return null;
  });
  if (frame !== state.frame) return; // the mode may have changed meanwhile: the picture is the same
  image = element && { frame, size: "display", element };
  state.pictured = element ? frame : -1;
  parts.view.setImage(element);
  showShape();
  loadFullImage();
}

function fetchImage(frame, size) {
  const key = `${frame} ${size}`;
  if (!images.has(key)) {
    const element = new Image();
    element.src = api.frameAddress(frame, size);
    const decoded = element.decode().then(
      () => element,
      async () => {
        images.delete(key);
        const reason = await api.errorOf(element.src);
        throw new Error(`Frame ${frame} cannot be shown. ${reason ?? "Its picture is damaged."}`);
      },
    );
    images.set(key, decoded);
    if (images.size > IMAGES_KEPT) images.delete(images.keys().next().value);
  }
  return images.get(key);
}

function prefetch(frame) {
  if (frame >= 0 && frame < state.video.num_frames) fetchImage(frame, "display").catch(() => {});
}

/** Beyond the size of the reduced frame, the frame itself. */
export async function loadFullImage() {
  const { frame, video } = state;
  if (!image || image.frame !== frame || image.size === "full") return;
  const { naturalWidth } = image.element;
  const enlargement = (parts.view.scale * parts.view.ratio * video.width) / naturalWidth;
  if (naturalWidth >= video.width || enlargement < SHARP) return;
  image.size = "full"; // asked for once
  const element = await fetchImage(frame, "full").catch(() => null);
  if (element && frame === state.frame) parts.view.setImage(element);
}

// Labels and results

async function loadLabel(visit) {
  const { frame, mode, works } = state;
  const isLate = () => visit !== state.visit;
  try {
    if (mode === "review") {
      const { values } = await api.getMask("result", frame);
      if (isLate()) return;
      showLabel(values);
    } else {
      if (works.has(frame)) showStep(); // nobody waits for what is there
      await askForSaved(isLate).catch(showError);
      if (isLate()) return;
      if (works.has(frame)) noteOtherLabel(frame, works.get(frame));
      if (!works.has(frame)) {
        const work = await openWork(frame);
        if (isLate()) return;
        works.set(frame, work);
        showStep();
      }
    }
  } catch (error) {
    if (isLate()) return;
    showError(error);
    if (mode === "label") {
      works.set(frame, new Work(emptyValues(), "unread", null));
      showStep();
    }
  }
  showState();
  askForProposals();
}

/** The label may have been changed or deleted elsewhere: work without changes follows it. */
function noteOtherLabel(frame, work) {
  const time = labelTime(frame);
  if (time === work.labelTime) return;
  if (time === null) {
    work.loseLabel();
    keepDraft(frame, work);
  } else if (!work.isDirty) {
    parts.tools[state.tool].cancel?.(); // a stroke that goes on would end in another label
    state.works.delete(frame);
    state.fixing.delete(frame);
    hideLabel();
  } else if (work.source === "label") {
    work.savedStep = null; // undo leads to what was saved, and is so no more
  }
}

/** Begins with the draft, the label or the annotation that there is. */
async function openWork(frame) {
  if (!state.saved.drafts.includes(frame)) return openLabel(frame, labelTime(frame));
  const draft = await api.getMask("draft", frame);
  // A label that cannot be read is no reason to lose the draft.
  const work = await openLabel(frame, draft.labelTime).catch(() => null);
  if (!work) return new Work(draft.values, "draft", draft.labelTime);
  work.addDraft(draft.values);
  return work;
}

/** `time`: of the label that the work is to replace. */
async function openLabel(frame, time) {
  let source = "none";
  if (labelTime(frame) !== null) source = "label";
  else if (state.video.annotated.includes(frame)) source = "annotation";
  if (source === "none") return new Work(emptyValues(), source, time);
  const { values, voidPixels } = await api.getMask(source, frame);
  if (voidPixels) {
    showMessage(`${voidPixels} pixels of this label were void; here they are background.`);
  }
  return new Work(values, source, time);
}
