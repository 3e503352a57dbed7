// The panel of the next step: the command, the run with its progress, and what it left.

import { getJson, overlayAddress, postJson } from "./api.js";

const POLL_MS = 700;
const $ = (id) => document.getElementById(id);

export class RunPanel {
  /** `onResults` is told of new results; `say` shows a message. */
  constructor(presets, say, onResults) {
    this.say = say;
    this.onResults = onResults;
    this.results = { available: false };
    const words = { default: "default", fast: "fast, less exact", accurate: "accurate, slow" };
    for (const preset of presets) {
      $("preset").append(new Option(words[preset] ?? preset, preset));
    }
    $("copy").addEventListener("click", () => this.copy());
    $("run").addEventListener("click", () => this.start());
    $("cancel").addEventListener("click", () => this.cancel());
    $("watch-done").addEventListener("click", () => this.watch());
  }

  /** What is labelled has changed. */
  showCommand({ command, labelled }) {
    $("next-body").hidden = !command;
    $("next-text").hidden = Boolean(command);
    $("command").textContent = command ?? "";
    $("run").textContent = labelled.length > 1 ? `Run with ${labelled.length} labels` : "Run";
  }

  async copy() {
    try {
      await navigator.clipboard.writeText($("command").textContent);
      this.say("Command copied.");
    } catch {
      getSelection().selectAllChildren($("command"));
      this.say("Press Ctrl+C to copy the marked command.");
    }
  }

  async start() {
    try {
      this.show(await postJson("/api/run", { preset: $("preset").value }));
    } catch (error) {
      this.say(error.message, true);
    }
  }

  async cancel() {
    $("cancel").disabled = true;
    try {
      this.show(await postJson("/api/run/cancel", {}));
    } catch (error) {
      this.say(error.message, true);
    }
    $("cancel").disabled = false;
  }

  /** Asks how things stand, and again while a run is under way. */
  async refresh() {
    try {
      const status = await getJson("/api/run");
      if (status.state !== "running") await this.loadResults();
      this.show(status);
    } catch (error) {
      this.say(error.message, true);
    }
  }

  show(status) {
    const { state, title, done, total } = status;
    const isRunning = state === "running";
    $("run").disabled = $("preset").disabled = isRunning;
    $("run-state").hidden = state === "idle" || state === "done";
    $("cancel").hidden = $("run-progress").hidden = !isRunning;
    $("run-lines").textContent = status.lines.join("\n");
    if (isRunning) {
      const left = status.seconds_left === null ? "" : ` · ${duration(status.seconds_left)} left`;
      $("run-text").textContent = title
        ? `${capital(title)}: ${done} of ${total}${left}`
        : "Starting: checking the video, loading the network …";
      if (title) $("run-progress").max = total;
      if (title) $("run-progress").value = done;
      else $("run-progress").removeAttribute("value");
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.refresh(), POLL_MS);
    } else if (state === "failed") {
      $("run-text").textContent = `The run failed: ${status.error}`;
    } else if (state === "cancelled") {
      $("run-text").textContent = "Cancelled. Running again goes on from there.";
    }
    if (this.state === "running" && state === "done") {
      this.say(`Done in ${duration(status.seconds)}. Look at the result: Review.`);
    }
    this.state = state;
    this.showResults(isRunning);
  }

  async loadResults() {
    const results = await getJson("/api/results");
    const isNew = results.version !== this.results.version;
    this.results = results;
    if (isNew) this.onResults(results);
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
    $("video").src = overlayAddress(this.results.version);
    $("video-dialog").showModal();
    $("video").play().catch(() => {}); // the controls are there if it may not start by itself
  }
}

function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
