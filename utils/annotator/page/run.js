// The panel of the next step: the command, the run with its progress, and its results.

import { RETRY_MS, getJson, overlayAddress, postJson, previewAddress } from "./api.js";
import { $, showError, showMessage } from "./dom.js";
import { state, unsavedFrames } from "./state.js";

const POLL_MS = 700;
const PRESET_TEXTS = {
  default: "default",
  fast: "fast, less exact",
  accurate: "accurate, slow",
  herd: "one of many that look alike",
  paper: "the paper's",
};

export class RunPanel {
  /** `onResults` gets new results. */
  constructor(presets, onResults) {
    this.onResults = onResults;
    this.results = { available: false };
    this.commands = {};
    this.numLabels = 0;
    this.hasNewLabels = false; // since the run began
    this.request = 0; // the latest: an answer to an earlier one is out of date
    for (const preset of presets) {
      $("preset").append(new Option(PRESET_TEXTS[preset] ?? preset, preset));
    }
    $("preset").addEventListener("change", () => this.showPresetsCommand());
    $("copy").addEventListener("click", () => this.copy());
    $("run").addEventListener("click", () => this.start());
    $("cancel").addEventListener("click", () => this.cancel());
    $("watch-done").addEventListener("click", () => this.watch());
    // A run in a terminal, for which there is a command to copy, does not say when it is done.
    addEventListener("focus", () => this.refresh());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.refresh();
    });
  }

  /** Shows the command for the frames that are labelled now. `commands`: preset -> its command. */
  showCommand({ commands, labelled }) {
    $("next-body").hidden = !commands;
    $("next-text").hidden = Boolean(commands);
    this.commands = commands ?? {};
    this.showPresetsCommand();
    this.numLabels = labelled.length;
    this.showButton();
  }

  /** The command to copy does what the button does. */
  showPresetsCommand() {
    $("command").textContent = this.commands[$("preset").value] ?? "";
  }

  /** Other labels than those of a run in progress: it may be started again with them. */
  noteNewLabels() {
    this.hasNewLabels = this.state === "running";
  }

  showButton() {
    const isRunning = this.state === "running";
    const labels = this.numLabels > 1 ? ` with ${this.numLabels} labels` : "";
    $("run").textContent = isRunning && this.hasNewLabels ? `Start again${labels}` : `Run${labels}`;
    $("run").disabled = $("preset").disabled = isRunning && !this.hasNewLabels;
  }

  async copy() {
    try {
      await navigator.clipboard.writeText($("command").textContent);
      showMessage(`Command copied. ${unsavedNote()}`.trim());
    } catch {
      getSelection().selectAllChildren($("command"));
      showMessage("Press Ctrl+C to copy the selected command.");
    }
  }

  async start() {
    $("run").disabled = true;
    this.request += 1;
    try {
      if (this.state === "running") await postJson("/api/run/cancel", {});
      this.hasNewLabels = false;
      this.show(await postJson("/api/run", { preset: $("preset").value }));
      const note = unsavedNote();
      if (note) showMessage(note);
    } catch (error) {
      this.showButton();
      showError(error);
      this.askAgain(RETRY_MS); // in place of an answer that is out of date now
    }
  }

  async cancel() {
    $("cancel").disabled = true;
    try {
      await postJson("/api/run/cancel", {});
    } catch (error) {
      showError(error);
    }
    await this.refresh(); // and on until it is over, also if it was not cancelled
    $("cancel").disabled = false;
  }

  /** Asks for the state of the run and the results, and again while it is in progress. */
  async refresh() {
    const request = (this.request += 1);
    try {
      const status = await getJson("/api/run");
      if (status.state !== "running") await this.loadResults();
      if (request === this.request) this.show(status);
    } catch (error) {
      showError(error);
      // After a laptop has slept, say. A run that is over is asked about at the next look.
      const isOver = this.state && this.state !== "running";
      if (request === this.request && !isOver) this.askAgain(RETRY_MS);
    }
  }

  askAgain(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), delay);
  }

  show(status) {
    const { state: now } = status;
    const isRunning = now === "running";
    $("run-state").hidden = now === "idle" || now === "done";
    this.showPreview(status.preview);
    $("cancel").hidden = $("run-progress").hidden = !isRunning;
    $("run-lines").textContent = status.lines.join("\n");
    if (isRunning) {
      this.showProgress(status);
      this.askAgain(POLL_MS);
    } else if (now === "failed") {
      $("run-text").textContent = `The run failed: ${status.error}`;
    } else if (now === "cancelled") {
      $("run-text").textContent = "Cancelled. Run again to continue from there.";
    }
    if (this.state !== now) {
      const hasFailed = now === "failed" || now === "cancelled";
      // Of a run that is done, the message below is read out.
      const end = hasFailed ? $("run-text").textContent : "";
      $("run-news").textContent = isRunning ? "The run has begun." : end;
    }
    if (this.state === "running" && now === "done") {
      showMessage(`Done in ${duration(status.seconds)}. Review shows the result.`);
    }
    this.state = now;
    this.showButton();
    this.showResults(isRunning);
  }

  /** `version` changes with the file; null: there is none of this run. */
  showPreview(version) {
    $("preview").hidden = version === null;
    const address = version && previewAddress(version);
    if (!version || $("preview-image").getAttribute("src") === address) return;
    $("preview-image").src = $("preview-link").href = address;
  }

  showProgress({ title, done, total, seconds_left: seconds }) {
    const bar = $("run-progress");
    if (!title) {
      $("run-text").textContent = "Starting: checking the video, loading the network …";
      bar.removeAttribute("value");
      return;
    }
    const left = seconds === null ? "" : ` · ${duration(seconds)} left`;
    $("run-text").textContent = `${capital(title)}: ${done} of ${total}${left}`;
    bar.max = total;
    bar.value = done;
  }

  async loadResults() {
    const results = await getJson("/api/results");
    const { version, reason } = this.results;
    this.results = results;
    if (results.version !== version) this.onResults(results);
    if (results.reason && results.reason !== reason) showMessage(results.reason);
  }

  showResults(isRunning) {
    const { available, labelled, has_overlay: hasOverlay, check_first: check } = this.results;
    $("done-body").hidden = !available || isRunning;
    if (!available) return;
    const frames = labelled.length ? ` from frame ${labelled.join(", ")}` : "";
    const hint = check.length ? ` Look at frame ${check.join(", ")} first.` : "";
    $("done-text").textContent = `Every frame is segmented${frames}.${hint}`;
    $("watch-done").disabled = !hasOverlay;
  }

  watch() {
    const { writing } = state.corrections;
    if (writing?.overlay && !writing.error) {
      showMessage("The video is being written with the corrections. Try again in a moment.");
      return;
    }
    $("video").src = overlayAddress(this.results.overlay_version);
    $("video-dialog").showModal();
    $("video").play().catch(() => {}); // the controls are there if it may not start by itself
  }
}

/** Which frames have changes that the run does not use; empty if none has. */
function unsavedNote() {
  const frames = unsavedFrames();
  if (!frames.length) return "";
  const [which, has] = frames.length > 1 ? ["Frames", "have"] : ["Frame", "has"];
  return `${which} ${frames.join(", ")} ${has} unsaved changes, which the run does not use.`;
}

function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
