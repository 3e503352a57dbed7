// The scale: a line drawn on the frame, and how long it is in centimetres.

import * as api from "./api.js";
import { setPanel, setTool } from "./controls.js";
import { $, showError, showMessage } from "./dom.js";
import { setMode } from "./review.js";
import { parts, state } from "./state.js";

const CLICK_REACH = 6; // screen pixels that are no line yet

let drawn = null; // the line that is being drawn: two places, the second one moves
let drawnFrame = 0; // where it is drawn
let saved = null; // the scale of the video

/** Adds the tool and connects the section of the panel. */
export function connectScale() {
  parts.tools.scale = createScaleTool();
  $("scale-draw").addEventListener("click", async () => {
    drawn = null;
    await setMode("label"); // in review nothing is drawn
    setPanel(false); // it may cover the frame
    showForm(false);
    setTool("scale");
  });
  $("scale-remove").addEventListener("click", () => remove().catch(showError));
  $("scale-form").addEventListener("submit", (event) => {
    event.preventDefault();
    save().catch(showError);
  });
  // A scale that cannot be read is no reason not to label.
  api.getJson("/api/scale").then(show, showError);
}

function createScaleTool() {
  let isDown = false;
  let isSecond = false; // the press that ends a line of two clicks
  const finish = () => {
    isSecond = false;
    showForm(true);
  };
  return {
    down(place) {
      isDown = true;
      if (isSecond) drawn[1] = place;
      else drawn = [place, place];
      drawnFrame = state.frame;
    },
    move(place) {
      if (isDown) drawn[1] = place;
    },
    up(place) {
      if (!isDown) return;
      isDown = false;
      drawn[1] = place;
      const [from, to] = drawn;
      const length = Math.hypot(to.screenX - from.screenX, to.screenY - from.screenY);
      if (length > CLICK_REACH) finish();
      else isSecond = true;
    },
    cancel() {
      isDown = isSecond = false;
      if ($("scale-form").hidden) drawn = null;
    },
    draw(context, view) {
      const line = drawn ? { frame: drawnFrame, points: drawn.map(({ x, y }) => [x, y]) } : saved;
      if (line?.frame !== state.frame) return;
      const { points } = line;
      const [from, to] = points.map(([x, y]) => view.toScreen(x, y));
      for (const [style, width] of [["rgba(0, 0, 0, 0.7)", 5], ["#ffd34d", 2]]) {
        context.beginPath();
        context.moveTo(...from);
        context.lineTo(...to);
        context.lineWidth = width;
        context.strokeStyle = style;
        context.stroke();
        for (const [x, y] of [from, to]) {
          context.beginPath();
          context.arc(x, y, 4, 0, 2 * Math.PI);
          context.stroke();
        }
      }
    },
  };
}

function showForm(is) {
  $("scale-form").hidden = !is;
  if (!is) return;
  setPanel(true);
  $("scale-cm").focus();
}

function show(answer) {
  saved = answer.scale;
  $("scale-remove").hidden = !saved;
  const where = saved?.of_folder ? ", as drawn for all videos of this size in this folder" : "";
  $("scale-text").textContent = saved
    ? `100 pixels are ${Number((100 * saved.cm_per_px).toPrecision(3))} cm${where}.`
    : "None: lengths are in pixels.";
}

async function save() {
  const points = drawn.map(({ x, y }) => [x, y]);
  const content = {
    frame: drawnFrame,
    points,
    distance_cm: Number($("scale-cm").value),
    for_folder: $("scale-folder").checked,
  };
  show(await api.postJson("/api/scale", content));
  showForm(false);
  drawn = null;
  setTool("click");
  showMessage("Scale saved: tables and the report have centimetres now.");
}

async function remove() {
  if (saved.of_folder && !confirm("Remove the scale of all videos of this size in this folder?")) {
    return;
  }
  show(await api.remove("/api/scale"));
  drawn = null;
  showForm(false);
  parts.view.draw();
}
