// What the page says about the frame on the screen, and which buttons that allows.

import { $, fillList, setText } from "./dom.js";
import { NUMBER } from "./pixels.js";
import {
  chosenProposal,
  currentFix,
  currentWork,
  isWaiting,
  openProposals,
  parts,
  state,
} from "./state.js";

export const WIDE_PX = 820; // as in style.css
const TEXTS = {
  draft: ["unsaved", "unsaved"],
  label: ["saved", "label saved"],
  annotation: ["", "annotation of the data set"],
  none: ["", "not labelled"],
  unread: ["unsaved", "not shown"],
  result: ["", "result"],
  loading: ["", "loading …"],
};

export function showState() {
  const { mode, frame, label } = state;
  const work = mode === "label" ? currentWork() : null;
  showFrameState(work);
  const { list = [], can_redo: canRedo } = state.corrections;
  const isReview = mode === "review";
  $("fix").disabled = !isReview || !label.values;
  $("apply").hidden = !currentFix();
  $("undo").disabled = isReview ? !list.length : !work || (work.at === 0 && !isWaiting());
  $("redo").disabled = isReview ? !canRedo : !work || work.at === work.steps.length - 1;
  const isEmpty = !label.values || !label.values.some((value) => value & NUMBER);
  $("save").disabled = !work || isEmpty || (!work.isDirty && work.source === "label");
  parts.labelList.showCurrent(frame);
  showProposalBar();
}

function showProposalBar() {
  const open = openProposals();
  $("proposal-bar").hidden = !open.length;
  if (!open.length) return;
  const { start } = state.proposals;
  const what = start === null ? "Found by the network" : `From the label of frame ${start}`;
  const which = open.length > 1 ? ` · ${open.indexOf(chosenProposal()) + 1} of ${open.length}` : "";
  setText($("proposal-text"), what + which);
  $("next-proposal").hidden = $("accept-all").hidden = open.length < 2;
}

function showFrameState(work) {
  const { mode, frame, label, video } = state;
  let key = "loading";
  if (mode === "review") key = label.values ? "result" : "loading";
  else if (work) key = work.isDirty ? "draft" : work.source;
  const span = document.createElement("span");
  [span.className, span.textContent] = TEXTS[key];
  const name = video.frame_names[frame];
  const count = `Frame ${frame} of 0–${video.num_frames - 1}`;
  const file = Number(name) === frame ? "" : ` (${name})`;
  const confidence = mode === "review" ? parts.runPanel.results.confidence?.[frame] : null;
  const isCorrected = ([first, last]) => first <= frame && frame <= last;
  if (key === "result" && state.corrections.frames?.some(isCorrected)) {
    [span.className, span.textContent] = ["saved", "result, corrected"];
  }
  const trust = confidence == null ? "" : ` · confidence ${confidence.toFixed(2)}`;
  const size = innerWidth > WIDE_PX ? ` · ${video.width}×${video.height}` : "";
  const texts = [`${count}${file} · `, span.textContent, trust, size];
  fillList($("frame-state"), texts, () => [texts[0], span, trust, size]);
}

/** The marks of the filmstrip; in review also how far each frame can be trusted. */
export function showMarks() {
  const isReview = state.mode === "review";
  const { confidence, check_first: check } = parts.runPanel.results;
  parts.filmstrip.update({
    labelled: state.saved.labelled,
    drafts: state.saved.drafts,
    curve: isReview ? confidence : null,
    check: isReview ? (check ?? []) : [],
    corrected: isReview ? (state.corrections.frames ?? []) : [],
  });
}
