// The page of annotate.py: one frame at a time is labelled, others are a key away, and the labels
// go to the server, which runs stage 3 with them.

import * as api from "./api.js";
import { Filmstrip } from "./filmstrip.js";
import { NUMBER, applyMask, countAnimals, encodePng, packRuns, unpackRuns } from "./labels.js";
import { RunPanel } from "./run.js";
import { createTools } from "./tools.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const MAX_UNDO = 60;
const DRAFT_DELAY_MS = 900;
const IMAGES_KEPT = 8;
const NETWORK_POLL_MS = 1500;
const SHARP = 1.3; // enlargement of a reduced frame from which on the full one is loaded
const HINTS = {
  click: "Click the animal, or drag a box around it. Right-click what does not belong to it.",
  touch: "Tap the animal, or drag a box around it. Exclude: tap what does not belong to it.",
  brush: "Paint what belongs to the animal.",
  eraser: "Erase what does not belong to it.",
  polygon: "Click corner after corner; click the first one again to fill the shape.",
  hand: "Drag to move, turn the wheel to zoom.",
  exclude: "Click what does not belong to the animal.",
  review: "Arrow keys step through the result. Where it is wrong, mend it.",
};

let video, view, tools, filmstrip, runPanel;
let labelState = { labelled: [], drafts: [] };
let mode = "label";
let toolName = "click";
let frame = -1;
let animal = 1;
let numAnimals = 1;
let isExcluding = false;
let brushRadius = 12;
let visit = 0; // counts frame changes: answers to an earlier one are dropped
let busyCount = 0; // frames and labels that are on their way
let image = null; // {frame, size, element}
const works = new Map(); // frame -> its work: history of the label, and what of it is saved
const images = new Map();

// The work on one frame. A step is {runs, prompts}: the label and the clicks so far.
class Work {
  constructor(values, source) {
    this.steps = [{ runs: packRuns(values), prompts: {} }];
    this.at = 0;
    this.source = source; // what the frame's label was when it was opened
    this.savedStep = source === "draft" ? null : this.steps[0];
    this.keptStep = this.steps[0]; // what the server has as a draft, or as what it was opened from
  }

  get step() {
    return this.steps[this.at];
  }

  get isDirty() {
    return this.step !== this.savedStep;
  }

  add(values, prompts) {
    this.steps.splice(this.at + 1);
    this.steps.push({ runs: packRuns(values), prompts });
    if (this.steps.length > MAX_UNDO) this.steps.shift();
    this.at = this.steps.length - 1;
  }
}

const work = () => works.get(frame);
const label = { values: null, width: 0, height: 0 };

// What the tools see and do.
const editor = {
  label,
  get view() {
    return view;
  },
  get animal() {
    return animal;
  },
  get brushRadius() {
    return brushRadius;
  },
  get isExcluding() {
    return isExcluding;
  },
  canEdit: () => mode === "label" && Boolean(work()),
  prompts: () => work()?.step.prompts[animal] ?? { clicks: [], box: null },
  addClick(x, y, positive) {
    if (!editor.canEdit() || x < 0 || y < 0 || x > video.width || y > video.height) return;
    queueSegmentation(({ clicks, box }) => ({ clicks: [...clicks, { x, y, positive }], box }));
  },
  addBox([x0, y0, x1, y1]) {
    if (!editor.canEdit()) return;
    const within = (value, size) => Math.max(0, Math.min(size, value));
    const box = [
      within(Math.min(x0, x1), video.width),
      within(Math.min(y0, y1), video.height),
      within(Math.max(x0, x1), video.width),
      within(Math.max(y0, y1), video.height),
    ];
    if (box[2] - box[0] < 3 || box[3] - box[1] < 3) return;
    queueSegmentation(({ clicks }) => ({ clicks, box }), true);
  },
  commit() {
    work().add(label.values, work().step.prompts);
    afterEdit();
  },
  revert() {
    restore();
  },
  changedShape() {
    $("shape-bar").hidden = !tools.polygon.corners;
    $("shape-close").disabled = tools.polygon.corners < 3;
    view.draw();
  },
};

start().catch((error) => say(error.message, true));

async function start() {
  if (typeof CompressionStream === "undefined") {
    throw new Error("This browser is too old for this page: it needs one of 2023 or later.");
  }
  history.replaceState(null, "", "/"); // the token has done its work; the cookie stands for it
  video = await api.getJson("/api/video");
  document.title = `${video.name} · label a frame`;
  $("name").textContent = video.name;
  label.width = video.width;
  label.height = video.height;
  tools = createTools(editor);
  view = new View($("canvas"), video.colours, () => (mode === "label" ? tools[toolName] : {}));
  view.setSize(video.width, video.height);
  view.onZoom = () => {
    $("zoom-fit").textContent = `${Math.round(view.scale * 100)} %`;
    loadFullImage();
  };
  filmstrip = new Filmstrip(
    { strip: $("strip"), line: $("line"), marks: $("marks"), number: $("number") },
    video,
    openFrame,
  );
  runPanel = new RunPanel(video.presets, say, onResults);
  connect();
  setBrush(Math.max(2, Math.round(Math.min(video.width, video.height) / 40)));
  setOpacity(45);
  setTool("click");
  onLabels(await api.getJson("/api/labels"));
  await openFrame(video.first_frame);
  say(`Frame ${video.first_frame}: ${video.first_reason}.`);
  await runPanel.refresh();
  watchNetwork();
  document.body.dataset.ready = "yes";
}

/** Says so as long as clicks have to do without the network. */
async function watchNetwork() {
  const { state, reason } = await api.getJson("/api/network").catch(() => ({ state: "absent" }));
  const texts = {
    loading: "Clicks go by colours until the network is loaded …",
    failed: `Clicks go by colours alone: ${reason}`,
  };
  $("network").textContent = texts[state] ?? "";
  $("network").hidden = !texts[state];
  if (state === "loading") setTimeout(watchNetwork, NETWORK_POLL_MS);
}

// Frames

async function openFrame(number) {
  const next = Math.max(0, Math.min(video.num_frames - 1, Math.round(Number(number)) || 0));
  if (next === frame) {
    filmstrip.show(frame);
    return;
  }
  leaveFrame();
  frame = next;
  const mine = ++visit;
  filmstrip.show(frame);
  label.values = null;
  view.label = null;
  showState();
  const loads = [loadImage(frame), loadLabel(mine)];
  const [loaded] = await whileBusy(Promise.allSettled(loads));
  if (loaded.status === "rejected") say(loaded.reason.message, true);
  if (mine === visit) for (const other of [frame + 1, frame - 1]) prefetch(other);
}

/** The canvas is busy for as long as it does not show the whole of what was asked for. */
function whileBusy(promise) {
  const show = (change) => {
    busyCount += change;
    $("canvas").setAttribute("aria-busy", busyCount > 0);
  };
  show(1);
  return promise.finally(() => show(-1));
}

function leaveFrame() {
  tools.polygon.drop();
  const left = work();
  if (!left) return;
  keepDraft(frame, left);
  // The label may change on disk meanwhile; what is neither changed nor undone is read again.
  if (!left.isDirty && left.steps.length === 1) works.delete(frame);
}

async function loadImage(number) {
  const element = await fetchImage(number, "display");
  if (number !== frame) return; // the mode may have changed meanwhile: the picture is the same
  image = { frame: number, size: "display", element };
  view.setImage(element);
  loadFullImage();
}

function fetchImage(number, size) {
  const key = `${number} ${size}`;
  if (!images.has(key)) {
    const element = new Image();
    element.src = api.frameAddress(number, size);
    const promise = element.decode().then(
      () => element,
      () => {
        images.delete(key);
        throw new Error(`Frame ${number} cannot be read. The terminal tells more.`);
      },
    );
    images.set(key, promise);
    if (images.size > IMAGES_KEPT) images.delete(images.keys().next().value);
  }
  return images.get(key);
}

function prefetch(number) {
  if (number >= 0 && number < video.num_frames) fetchImage(number, "display").catch(() => {});
}

/** Beyond the size of the reduced frame, the frame itself. */
async function loadFullImage() {
  if (!image || image.frame !== frame || image.size === "full") return;
  const enlargement = (view.scale * view.ratio * video.width) / image.element.naturalWidth;
  if (image.element.naturalWidth >= video.width || enlargement < SHARP) return;
  const number = frame;
  image.size = "full"; // asked for once
  const element = await fetchImage(number, "full").catch(() => null);
  if (element && number === frame) view.setImage(element);
}

async function loadLabel(mine) {
  try {
    if (mode === "review") {
      const { values } = await api.getMask("result", frame);
      if (mine !== visit) return;
      showLabel(values);
    } else {
      if (!works.has(frame)) {
        const opened = await openWork(frame);
        if (mine !== visit) return;
        works.set(frame, opened);
      }
      restore();
    }
  } catch (error) {
    if (mine !== visit) return;
    say(error.message, true);
    if (mode === "label") {
      works.set(frame, new Work(new Uint8Array(video.width * video.height), "none"));
      restore();
    }
  }
  showState();
}

/** Begins with the draft, the label or the annotation that there is. */
async function openWork(number) {
  let source = "none";
  if (labelState.drafts.includes(number)) source = "draft";
  else if (labelState.labelled.includes(number)) source = "label";
  else if (video.annotated.includes(number)) source = "annotation";
  if (source === "none") return new Work(new Uint8Array(video.width * video.height), source);
  const { values, voidPixels } = await api.getMask(source, number);
  if (voidPixels) say(`${voidPixels} pixels of this label were void; here they are background.`);
  return new Work(values, source);
}

function showLabel(values) {
  label.values = values;
  const counts = countAnimals(values);
  let last = NUMBER;
  while (last > 0 && !counts[last]) last--;
  if (last > numAnimals) numAnimals = last;
  view.setLabel(label);
  showAnimals(counts);
}

/** Shows the present step of the history. */
function restore() {
  const values = label.values ?? new Uint8Array(video.width * video.height);
  showLabel(unpackRuns(work().step.runs, values));
  showState();
}

// Editing

function afterEdit() {
  view.changed();
  showAnimals(countAnimals(label.values));
  showState();
  const mine = work();
  const number = frame;
  clearTimeout(afterEdit.timer);
  afterEdit.timer = setTimeout(() => keepDraft(number, mine), DRAFT_DELAY_MS);
}

let sending = Promise.resolve();

/** Drafts and labels reach the server one after the other: no draft outlives its label. */
function sendInOrder(send) {
  const sent = sending.then(send);
  sending = sent.catch(() => {});
  return sent;
}

/** Sends unsaved work to the server's memory, where a page that is opened again finds it. */
async function keepDraft(number, mine) {
  try {
    await sendInOrder(async () => {
      const { step, isDirty } = mine;
      if (step === mine.keptStep) return;
      if (isDirty) {
        const values = unpackRuns(step.runs, new Uint8Array(video.width * video.height));
        const png = await encodePng(values, video.width, video.height);
        onLabels(await api.post(`/api/drafts/${number}`, png));
      } else {
        onLabels(await api.remove(`/api/drafts/${number}`));
      }
      mine.keptStep = step;
    });
  } catch (error) {
    mine.keptStep = null;
    say(`The draft is not kept: ${error.message}`, true);
  }
}

let segmenting = Promise.resolve();
let waiting = 0;

/** Clicks are answered one after the other, each on what the one before gave. */
function queueSegmentation(change, fresh = false) {
  const number = frame;
  const who = animal;
  waiting++;
  showBusy();
  segmenting = segmenting
    .then(() => segmentNow(number, who, change, fresh))
    .catch((error) => say(error.message, true))
    .finally(() => {
      waiting--;
      showBusy();
    });
}

async function segmentNow(number, who, change, fresh) {
  const mine = works.get(number);
  if (number !== frame || !mine || mode !== "label") return;
  const before = mine.step;
  // A mask that was there before the first click is trusted, but a new box begins anew.
  const first = { clicks: [], box: null, given: countAnimals(label.values)[who] > 0 };
  const last = before.prompts[who] ?? first;
  const prompts = { ...change(last), given: last.given && !fresh };
  const png = await encodePng(label.values, video.width, video.height);
  const mask = await api.segment(number, { animal: who, fresh, ...prompts }, png);
  if (number !== frame || mine.step !== before || mode !== "label") return; // undone meanwhile
  if (!mask.includes(1)) say("Nothing found there. Try a box around the animal.");
  applyMask(label.values, mask, who);
  mine.add(label.values, { ...before.prompts, [who]: prompts });
  afterEdit();
}

function showBusy() {
  $("busy").hidden = !waiting;
  $("busy-text").textContent = "Finding the outline …";
}

function move(by) {
  if (by < 0 && tools.polygon.corners) {
    tools.polygon.back();
    return;
  }
  const mine = work();
  if (mode !== "label" || !mine?.steps[mine.at + by]) return;
  mine.at += by;
  restore();
  afterEdit();
}

function clearAnimal() {
  if (!editor.canEdit()) return;
  const { values } = label;
  for (let i = 0; i < values.length; i++) if ((values[i] & NUMBER) === animal) values[i] = 0;
  const prompts = { ...work().step.prompts };
  delete prompts[animal];
  work().add(values, prompts);
  afterEdit();
}

async function save() {
  const mine = work();
  if (mode !== "label" || !mine || $("save").disabled) return;
  const number = frame;
  const step = mine.step;
  $("save").disabled = true;
  try {
    const numbers = label.values.map((value) => value & NUMBER);
    const png = await encodePng(numbers, video.width, video.height);
    const state = await sendInOrder(async () => {
      const answer = await api.post(`/api/labels/${number}`, png);
      mine.keptStep = step; // the server drops the draft when it gets the label
      return answer;
    });
    mine.savedStep = step;
    mine.source = "label";
    onLabels(state);
    say(`Saved: ${state.path}`);
  } catch (error) {
    say(error.message, true);
  }
  showState();
}

async function removeLabel(number) {
  if (!confirm(`Delete the label of frame ${number}?`)) return;
  try {
    onLabels(await sendInOrder(() => api.remove(`/api/labels/${number}`)));
  } catch (error) {
    say(error.message, true);
    return;
  }
  const mine = works.get(number);
  if (mine) {
    mine.savedStep = mine.keptStep = null; // what is on the screen is not saved any more
    mine.source = "none";
    keepDraft(number, mine);
  }
  showState();
}

// Review

async function setMode(next) {
  if (next === mode || (next === "review" && !runPanel.results.available)) return;
  leaveFrame();
  mode = next;
  document.body.classList.remove("panel-open");
  $("mode-label").setAttribute("aria-pressed", mode === "label");
  $("mode-review").setAttribute("aria-pressed", mode === "review");
  $("tools").inert = mode === "review";
  $("review-bar").hidden = mode !== "review";
  $("watch").disabled = !runPanel.results.has_overlay;
  showHint();
  showMarks();
  label.values = null;
  view.label = null;
  showState();
  await whileBusy(loadLabel(++visit));
}

/** The predicted mask becomes the beginning of a label. */
async function mend() {
  if (mode !== "review" || !label.values) return;
  const predicted = label.values.slice();
  const number = frame;
  await setMode("label");
  if (number !== frame || mode !== "label" || !work()) return;
  work().add(predicted, {});
  restore();
  afterEdit();
  say(`Mend frame ${number}, save it, and run again with both labels.`);
}

function onResults(results) {
  $("mode-review").disabled = !results.available;
  showMarks();
  if (mode !== "review") return;
  label.values = null; // of the run before
  whileBusy(loadLabel(++visit));
}

function onLabels(state) {
  labelState = state;
  runPanel.showCommand(state);
  showMarks();
  const list = $("labels");
  list.replaceChildren(
    ...state.labelled.map((number) => {
      const item = document.createElement("li");
      const go = button(`Frame ${number}`, () => openFrame(number));
      go.className = "go";
      if (number === frame) go.setAttribute("aria-current", "true");
      const drop = button("Delete", () => removeLabel(number));
      drop.setAttribute("aria-label", `Delete the label of frame ${number}`);
      item.append(go, drop);
      return item;
    }),
  );
  $("no-labels").hidden = state.labelled.length > 0;
}

function button(text, onClick) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.addEventListener("click", onClick);
  return element;
}

// What is shown

function showMarks() {
  const isReview = mode === "review";
  filmstrip.update({
    labelled: labelState.labelled,
    drafts: labelState.drafts,
    curve: isReview ? runPanel.results.confidence : null,
    check: isReview ? (runPanel.results.check_first ?? []) : [],
  });
}

function showState() {
  const mine = mode === "label" ? work() : null;
  const name = video.frame_names[frame];
  const texts = {
    draft: ["unsaved", "unsaved"],
    label: ["saved", "label saved"],
    annotation: ["", "annotation of the data set"],
    none: ["", "not labelled"],
    result: ["", "result"],
    loading: ["", "loading …"],
  };
  let key = "loading";
  if (mode === "review") key = label.values ? "result" : "loading";
  else if (mine) key = mine.isDirty ? "draft" : mine.source;
  const [style, text] = texts[key];
  const span = document.createElement("span");
  span.className = style;
  span.textContent = text;
  const count = `Frame ${frame} of 0–${video.num_frames - 1}`;
  const file = Number(name) === frame ? "" : ` (${name})`;
  const confidence = mode === "review" && runPanel.results.confidence?.[frame];
  const trust = confidence ? ` · confidence ${confidence.toFixed(2)}` : "";
  $("frame-state").replaceChildren(`${count}${file} · `, span, trust);
  const size = ` · ${video.width}×${video.height}`;
  if (innerWidth > 820) $("frame-state").append(size);
  $("mend").disabled = mode !== "review" || !label.values;
  $("undo").disabled = !mine || mine.at === 0;
  $("redo").disabled = !mine || mine.at === mine.steps.length - 1;
  const isEmpty = !label.values || !label.values.some((value) => value & NUMBER);
  $("save").disabled = !mine || isEmpty || (!mine.isDirty && mine.source === "label");
  for (const go of $("labels").querySelectorAll(".go")) {
    go.toggleAttribute("aria-current", go.textContent === `Frame ${frame}`);
  }
}

function showAnimals(counts) {
  const list = $("animals");
  if (list.children.length !== numAnimals) {
    list.replaceChildren();
    for (let number = 1; number <= numAnimals; number++) {
      const choice = button("", () => setAnimal(number));
      choice.setAttribute("role", "radio");
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = `rgb(${video.colours[number - 1].join(",")})`;
      const text = document.createElement("span");
      choice.append(swatch, text);
      list.append(choice);
    }
  }
  [...list.children].forEach((choice, i) => {
    choice.setAttribute("aria-checked", i + 1 === animal);
    choice.lastChild.textContent = `Animal ${i + 1}`;
    choice.title = `${counts[i + 1]} pixels` + (i < 9 ? ` (${i + 1})` : "");
  });
  $("add-animal").disabled = numAnimals >= video.colours.length;
}

function setAnimal(number) {
  if (number > numAnimals) return;
  animal = number;
  showAnimals(label.values ? countAnimals(label.values) : new Uint32Array(NUMBER + 1));
  view.draw();
}

function addAnimal() {
  if (numAnimals >= video.colours.length) return;
  numAnimals++;
  setAnimal(numAnimals);
}

function setTool(name) {
  tools[toolName].cancel?.();
  if (name !== "polygon") tools.polygon.drop();
  toolName = name;
  for (const each of $("tools").querySelectorAll("[data-tool]")) {
    each.setAttribute("aria-pressed", each.dataset.tool === name);
  }
  setPanning(false);
  showHint();
}

function setPanning(isHeld) {
  view.isPanning = isHeld || toolName === "hand" || mode === "review";
  $("canvas").classList.toggle("hand", view.isPanning);
  const isBrush = toolName === "brush" || toolName === "eraser";
  $("canvas").classList.toggle("bare", isBrush && !view.isPanning);
  view.draw();
}

function setExcluding(is) {
  isExcluding = is;
  $("exclude").setAttribute("aria-pressed", is);
  showHint();
}

function showHint() {
  let key = toolName;
  if (key === "click" && matchMedia("(pointer: coarse)").matches) key = "touch";
  if (toolName === "click" && isExcluding) key = "exclude";
  $("hint").textContent = HINTS[mode === "review" ? "review" : key];
  setPanning(false);
}

function setBrush(radius) {
  brushRadius = Math.max(1, Math.min(100, radius));
  $("brush-size").value = brushRadius;
  $("brush-output").textContent = `${2 * brushRadius} px`;
  view.draw();
}

function setOpacity(percent) {
  view.opacity = percent / 100;
  $("opacity").value = percent;
  $("opacity-output").textContent = `${percent} %`;
  view.draw();
}

function setShown(is) {
  view.isShown = is;
  $("shown").checked = is;
  view.draw();
}

function say(text, isError = false) {
  const toast = $("toast");
  toast.textContent = text;
  toast.className = isError ? "toast shown error" : "toast shown";
  clearTimeout(say.timer);
  say.timer = setTimeout(() => toast.classList.remove("shown"), isError ? 9000 : 3500);
}

// Buttons and keys

function connect() {
  const on = (id, action) => $(id).addEventListener("click", action);
  for (const each of $("tools").querySelectorAll("[data-tool]")) {
    each.addEventListener("click", () => setTool(each.dataset.tool));
  }
  on("exclude", () => setExcluding(!isExcluding));
  on("undo", () => move(-1));
  on("redo", () => move(1));
  on("save", save);
  on("help", () => $("help-dialog").showModal());
  on("mode-label", () => setMode("label"));
  on("mode-review", () => setMode("review"));
  on("review-done", () => setMode("review"));
  on("mend", mend);
  on("watch", () => runPanel.watch());
  on("add-animal", addAnimal);
  on("clear-animal", clearAnimal);
  on("zoom-in", () => view.zoom(1.5));
  on("zoom-out", () => view.zoom(1 / 1.5));
  on("zoom-fit", () => view.fit());
  on("previous", () => openFrame(frame - 1));
  on("following", () => openFrame(frame + 1));
  on("suggested", () => openFrame(video.first_frame));
  on("shape-close", () => tools.polygon.close());
  on("shape-back", () => tools.polygon.back());
  on("shape-drop", () => tools.polygon.drop());
  on("panel-toggle", () => {
    const isOpen = document.body.classList.toggle("panel-open");
    $("panel-toggle").setAttribute("aria-expanded", isOpen);
  });
  $("brush-size").addEventListener("input", (event) => setBrush(Number(event.target.value)));
  $("opacity").addEventListener("input", (event) => setOpacity(Number(event.target.value)));
  $("shown").addEventListener("change", (event) => setShown(event.target.checked));
  $("canvas").addEventListener("dblclick", () => {
    if (toolName === "polygon") tools.polygon.close();
  });
  $("video-dialog").addEventListener("close", () => $("video").pause());
  // After a click with the mouse the keys are the canvas' again: space moves, it presses no button.
  document.addEventListener("click", (event) => {
    if (event.detail && event.target.closest("button") && !event.target.closest("dialog, aside")) {
      $("canvas").focus({ preventScroll: true });
    }
  });
  addEventListener("keydown", onKey);
  addEventListener("keyup", (event) => {
    if (event.key === " ") setPanning(false);
  });
  addEventListener("blur", () => setPanning(false));
  // The canvas takes up half the page: its focus is shown to those who go by the keyboard.
  addEventListener("keydown", (event) => {
    if (event.key === "Tab") document.body.classList.add("by-keyboard");
  });
  addEventListener("pointerdown", () => document.body.classList.remove("by-keyboard"));
  addEventListener("beforeunload", (event) => {
    if ([...works.values()].some((each) => each.isDirty)) event.preventDefault();
  });
}

const KEYS = {
  c: () => setTool("click"),
  b: () => setTool("brush"),
  e: () => setTool("eraser"),
  p: () => setTool("polygon"),
  h: () => setTool("hand"),
  x: () => setExcluding(!isExcluding),
  n: addAnimal,
  o: () => setShown(!view.isShown),
  s: () => openFrame(video.first_frame),
  r: () => setMode(mode === "review" ? "label" : "review"),
  m: mend,
  "[": () => setBrush(Math.min(brushRadius - 1, Math.round(brushRadius / 1.25))),
  "]": () => setBrush(Math.max(brushRadius + 1, Math.round(brushRadius * 1.25))),
  "+": () => view.zoom(1.25),
  "=": () => view.zoom(1.25),
  "-": () => view.zoom(0.8),
  0: () => view.fit(),
  "?": () => $("help-dialog").showModal(),
  Enter: () => tools.polygon.close(),
  Escape: () => {
    tools.polygon.drop();
    document.body.classList.remove("panel-open");
  },
  Backspace: () => tools.polygon.back(),
  Home: () => openFrame(0),
  End: () => openFrame(video.num_frames - 1),
};

function onKey(event) {
  const target = event.target;
  if (document.querySelector("dialog[open]") || !video) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    const action = { z: () => move(event.shiftKey ? 1 : -1), y: () => move(1), s: save }[key];
    if (action) {
      event.preventDefault();
      action();
    }
    return;
  }
  if (event.altKey || target.matches("select, input[type=number]")) return;
  const isSlider = target.matches("input[type=range]");
  const isControl = isSlider || target.closest("button, summary, input, video");
  if (key === "ArrowLeft" || key === "ArrowRight") {
    if (isSlider) return;
    event.preventDefault();
    openFrame(frame + (key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1));
  } else if (key === " ") {
    if (isControl) return;
    event.preventDefault();
    if (!event.repeat) setPanning(true);
  } else if (/^[1-9]$/.test(key)) {
    setAnimal(Number(key));
  } else if (KEYS[key]) {
    if ((isSlider && key.length > 1) || (isControl && key === "Enter")) return;
    event.preventDefault();
    KEYS[key]();
  }
}
