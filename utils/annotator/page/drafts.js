// Labels and drafts on their way to the server.

import * as api from "./api.js";
import { showMessage } from "./dom.js";
import { NUMBER, unpackRuns } from "./pixels.js";
import { encodePng } from "./png.js";
import { emptyValues, labelTime, parts, state } from "./state.js";
import { showMarks } from "./status.js";

let sending = Promise.resolve();

/** Drafts and labels reach the server one after the other: no draft outlives its label. */
function sendInOrder(send) {
  const sent = sending.then(send);
  sending = sent.catch(() => {});
  return sent;
}

/** The PNG of a label with what was drawn by hand, as drafts and clicks have it. */
export const encodeValues = (values) => encodePng(values, state.video.width, state.video.height);

/** Sends unsaved work to the server's memory, where a page that is opened again finds it. */
export async function keepDraft(frame, work) {
  try {
    await sendInOrder(async () => {
      const { step, isDirty } = work;
      if (step === work.keptStep) return;
      if (isDirty) {
        const png = await encodeValues(unpackRuns(step.runs, emptyValues()));
        // The page that is opened again asks before it replaces another label than this one.
        const headers = { "X-Label-Time": work.labelTime ?? "" };
        showSaved(await api.post(`/api/drafts/${frame}`, png, headers));
      } else {
        showSaved(await api.remove(`/api/drafts/${frame}`));
      }
      work.keptStep = step;
    });
  } catch (error) {
    work.keptStep = null;
    showMessage(`The draft was not kept: ${error.message}`, true);
  }
}

/** Saves the present step of a frame's Work as its label. */
export async function sendLabel(frame, work) {
  const { step } = work;
  const values = unpackRuns(step.runs, emptyValues());
  const png = await encodeValues(values.map((value) => value & NUMBER));
  const answer = await sendInOrder(async () => {
    const saved = await api.post(`/api/labels/${frame}`, png);
    work.keptStep = step; // the server drops the draft when it gets the label
    return saved;
  });
  work.savedStep = step;
  const fix = state.fixing.get(frame);
  if (fix) fix.before = step; // what remains when the result has been corrected
  work.source = "label";
  work.isLabelLost = false;
  work.labelTime = answer.times[frame];
  parts.runPanel.noteNewLabels();
  showSaved(answer);
  return answer.path;
}

/** Whether the frame has another label than the one that the work is to replace. */
export async function isLabelUnseen(frame, work) {
  await askForSaved();
  const time = labelTime(frame);
  return time !== null && time !== work.labelTime;
}

/** Asks which labels there are: other programs and tabs make, change and delete some, too. */
export async function askForSaved(isLate = () => false) {
  const saved = await sendInOrder(() => (isLate() ? null : api.getJson("/api/labels")));
  if (saved) showSaved(saved);
}

export async function deleteLabel(frame) {
  const answer = await sendInOrder(() => api.remove(`/api/labels/${frame}`));
  parts.runPanel.noteNewLabels();
  showSaved(answer);
}

/**
 * Shows which frames have labels and drafts, as the server says: {labelled, drafts} and, if there
 * are labels, commands, by preset, and times, when each label was written.
 */
export function showSaved(saved) {
  state.saved = saved;
  parts.runPanel.showCommand(saved);
  parts.labelList.update(saved.labelled, state.frame);
  showMarks();
}
