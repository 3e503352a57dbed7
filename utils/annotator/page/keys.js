// What buttons and keys do.

import { addAnimal, setAnimal, stepAnimal } from "./animals.js";
import {
  correctFrame,
  findDoubt,
  movePiece,
  redoCorrection,
  stopWork,
  swap,
  undoCorrection,
} from "./correct.js";
import {
  growBrush,
  setBrush,
  setExcluding,
  setOpacity,
  setPanel,
  setPanning,
  setShown,
  setTool,
  shrinkBrush,
} from "./controls.js";
import { $ } from "./dom.js";
import { openFrame } from "./frames.js";
import { clearAnimal, moveInHistory, save } from "./label.js";
import {
  acceptAllProposals,
  acceptProposal,
  chooseProposal,
  dismissProposals,
} from "./proposals.js";
import { fixFrame, setMode } from "./review.js";
import { openProposals, parts, state } from "./state.js";
import { WIDE_PX } from "./status.js";

const undo = () => (state.mode === "review" ? undoCorrection() : moveInHistory(-1));
const redo = () => (state.mode === "review" ? redoCorrection() : moveInHistory(1));
const openSuggested = () => openFrame(state.video.first_frame);
const showHelp = () => $("help-dialog").showModal();
const switchMode = () => setMode(state.mode === "review" ? "label" : "review");
const switchExcluding = () => setExcluding(!state.isExcluding);

const BUTTONS = {
  exclude: switchExcluding,
  undo,
  redo,
  save,
  help: showHelp,
  "mode-label": () => setMode("label"),
  "mode-review": () => setMode("review"),
  "review-done": () => setMode("review"),
  fix: fixFrame,
  apply: correctFrame,
  watch: () => parts.runPanel.watch(),
  "add-animal": addAnimal,
  "clear-animal": clearAnimal,
  "zoom-in": () => parts.view.zoom(1.5),
  "zoom-out": () => parts.view.zoom(1 / 1.5),
  "zoom-fit": () => parts.view.fit(),
  previous: () => openFrame(state.frame - 1),
  following: () => openFrame(state.frame + 1),
  suggested: openSuggested,
  "shape-close": () => parts.tools.polygon.close(),
  "shape-back": () => parts.tools.polygon.back(),
  "shape-drop": () => parts.tools.polygon.drop(),
  accept: acceptProposal,
  "next-proposal": () => chooseProposal(1),
  "accept-all": acceptAllProposals,
  dismiss: dismissProposals,
  "panel-toggle": () => setPanel(!document.body.classList.contains("panel-open")),
};

const KEYS = {
  c: () => setTool("click"),
  b: () => setTool("brush"),
  e: () => setTool("eraser"),
  p: () => setTool("polygon"),
  h: () => setTool("hand"),
  x: switchExcluding,
  n: addAnimal,
  o: () => setShown(!parts.view.isShown),
  s: openSuggested,
  r: switchMode,
  m: fixFrame,
  "[": shrinkBrush,
  "]": growBrush,
  "+": () => parts.view.zoom(1.25),
  "=": () => parts.view.zoom(1.25),
  "-": () => parts.view.zoom(0.8),
  0: () => parts.view.fit(),
  "?": showHelp,
  a: acceptAllProposals,
  Enter: () => (parts.tools.polygon.corners ? parts.tools.polygon.close() : acceptProposal()),
  Escape: () => {
    if (stopWork()) return;
    if (document.body.classList.contains("panel-open") && innerWidth <= WIDE_PX) {
      setPanel(false); // what it covers is not meant
      return;
    }
    if (parts.tools.polygon.corners) parts.tools.polygon.drop();
    else dismissProposals();
  },
  Backspace: () => parts.tools.polygon.back(),
  Home: () => openFrame(0),
  End: () => openFrame(state.video.num_frames - 1),
};

// In review, in place of the keys above.
const REVIEW_KEYS = {
  d: (event) => findDoubt(event.shiftKey ? "previous" : "next"),
  w: () => swap("crossing"),
  e: () => swap("end"),
  f: () => swap("here"),
  k: () => movePiece(0),
  Delete: () => movePiece(0),
  g: () => movePiece(state.animal),
};

const SLIDER_KEYS = /^(Arrow|Home$|End$|Page)/; // of a slider that has the focus
const REPEATED = ["[", "]", "+", "=", "-", "Backspace"]; // while they are held down

export function connectButtons() {
  for (const [id, action] of Object.entries(BUTTONS)) {
    $(id).addEventListener("click", () => action());
  }
  for (const each of $("tools").querySelectorAll("[data-tool]")) {
    each.addEventListener("click", () => setTool(each.dataset.tool));
  }
  $("brush-size").addEventListener("input", (event) => setBrush(Number(event.target.value)));
  $("opacity").addEventListener("input", (event) => setOpacity(Number(event.target.value)));
  $("shown").addEventListener("change", (event) => setShown(event.target.checked));
  $("canvas").addEventListener("dblclick", () => {
    const { polygon } = parts.tools;
    if (state.tool !== "polygon") return;
    if (polygon.corners === 1) polygon.drop(); // begun by the second press; the first closed a shape
    else polygon.close();
  });
  $("video-dialog").addEventListener("close", () => {
    $("video").removeAttribute("src"); // the server keeps the file open for as long as it is read
    $("video").load();
  });
}

export function connectKeys() {
  addEventListener("keydown", onKey);
  addEventListener("keyup", (event) => {
    if (event.key === " ") setPanning(false);
  });
  addEventListener("blur", () => setPanning(false));
  // After a click with the mouse the canvas has the keys again: the space bar moves the view and
  // presses no button.
  document.addEventListener("click", (event) => {
    if (event.detail && event.target.closest("[role=radio], button:not(dialog *, aside *)")) {
      focusCanvas();
    }
  });
  // So it has after something was chosen with the pointer in a menu, or on the line of frames. A
  // menu that is used with the keyboard keeps it: its first change need not be the last.
  let pressed = null;
  addEventListener("pointerdown", (event) => {
    pressed = event.target;
  });
  addEventListener("keydown", () => {
    pressed = null;
  });
  document.addEventListener("change", ({ target }) => {
    if (target === pressed && target.matches("select, #line")) focusCanvas();
  });
  // The canvas takes up half the page: its focus is only shown to those who use the keyboard.
  addEventListener("keydown", (event) => {
    if (event.key === "Tab") document.body.classList.add("by-keyboard");
  });
  addEventListener("pointerdown", () => document.body.classList.remove("by-keyboard"));
  addEventListener("beforeunload", (event) => {
    const isDirty = [...state.works.values()].some((work) => work.isDirty);
    if (isDirty || parts.tools.polygon.isAnyOpen) event.preventDefault();
  });
}

const focusCanvas = () => $("canvas").focus({ preventScroll: true });

/** Letters in lower case; where the keyboard writes another alphabet, the letter that is on the
 * same key of an English one. Latin letters are where the person's own keyboard has them, and
 * signs that AltGr writes are no letters. */
function keyOf(event) {
  const { key, code } = event;
  const isForeign = !/[\x00-\x7f]|\p{Script=Latin}/u.test(key);
  if (isForeign && !event.getModifierState("AltGraph") && /^Key[A-Z]$/.test(code)) return code.at(-1).toLowerCase();
  return key.length === 1 ? key.toLowerCase() : key;
}

function onKey(event) {
  if (document.querySelector("dialog[open]")) return;
  const { target } = event;
  const key = keyOf(event);
  const isNumber = target.matches("input[type=number]");
  if (event.ctrlKey || event.metaKey) {
    if (isNumber && "zy".includes(key)) return; // undoes what was typed
    const action = { z: event.shiftKey ? redo : undo, y: redo, s: save, Enter: correctFrame }[key];
    if (action) {
      event.preventDefault();
      if (!event.repeat || "zy".includes(key)) action();
    }
    return;
  }
  const isBracket = key === "[" || key === "]"; // with Alt on some keyboards
  if (event.altKey && !isBracket) return;
  if (key === "Enter" && target === $("number")) focusCanvas(); // which takes the number over
  // Esc ends what is at work, wherever the focus is; a menu that is open takes it for itself.
  if (key !== "Escape" && (isNumber || target.matches("select"))) return;
  const isSlider = target.matches("input[type=range]");
  if (isSlider && SLIDER_KEYS.test(key)) return;
  const isControl = !isSlider && target.closest("a, button, summary, input, video");
  if (/^Arrow/.test(key) && target.closest("[role=radio]")) {
    event.preventDefault();
    stepAnimal(key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1);
  } else if (key === "ArrowLeft" || key === "ArrowRight") {
    event.preventDefault();
    // Held down, it goes on when the frame before is there.
    if (event.repeat && $("canvas").matches("[aria-busy=true]")) return;
    openFrame(state.frame + (key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1));
  } else if (key === "Tab") {
    // Esc dismisses the proposals: then Tab leads on to the buttons again.
    if (!openProposals().length || !target.matches("body, canvas")) return;
    event.preventDefault();
    chooseProposal(event.shiftKey ? -1 : 1);
  } else if (key === " ") {
    if (isControl) return;
    event.preventDefault();
    if (!event.repeat) setPanning(true);
  } else if (/^[1-9]$/.test(key)) {
    setAnimal(Number(key));
  } else {
    const action = (state.mode === "review" && REVIEW_KEYS[key]) || KEYS[key];
    if (!action || (isControl && key === "Enter")) return;
    event.preventDefault();
    if (!event.repeat || REPEATED.includes(key)) action(event);
  }
}
