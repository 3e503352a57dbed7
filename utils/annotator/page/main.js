// The page of annotate.py: a person labels one frame, other frames are a key away, and the labels
// go to the server, which runs stage 3 with them.
//
// state.js    what the page knows
// label.js    labels the frame: clicks, history, save       drafts.js   sends it to the server
// frames.js   opens a frame                                 animals.js  chooses the animal
// review.js   shows and fixes results                       run.js      runs stage 3
// keys.js     what buttons and keys do                      controls.js tools, brush, opacity
// view.js     the canvas                                    tools.js    the pointer on the canvas
// network.js  waits for the network                         proposals.js  masks that it proposes
// scale.js    how long a pixel is in centimetres            correct.js  corrects results

import * as api from "./api.js";
import { connectCorrections, loadCorrections } from "./correct.js";
import { setBrush, setOpacity, setTool } from "./controls.js";
import { $, showError, showMessage } from "./dom.js";
import { Filmstrip } from "./filmstrip.js";
import { loadFullImage, openFrame } from "./frames.js";
import { connectButtons, connectKeys } from "./keys.js";
import { editor, removeLabel } from "./label.js";
import { LabelList } from "./label_list.js";
import { watchNetwork } from "./network.js";
import { drawProposals } from "./proposals.js";
import { showResults } from "./review.js";
import { RunPanel } from "./run.js";
import { connectScale } from "./scale.js";
import { parts, state } from "./state.js";
import { createTools } from "./tools.js";
import { View } from "./view.js";

start().catch(showError);

async function start() {
  if (typeof CompressionStream === "undefined") {
    throw new Error("This browser is too old for this page: it needs one of 2023 or later.");
  }
  if (location.search) {
    // The cookie stands for the token now. Reached from this page, not from the file that led the
    // browser here, the address without token can be reloaded: SameSite=Strict.
    location.replace("/");
    return;
  }
  const video = await api.getVideo();
  state.video = video;
  state.label.width = video.width;
  state.label.height = video.height;
  document.title = `${video.name} · label a frame`;
  $("name").textContent = video.name;
  createParts(video);
  connectButtons();
  connectKeys();
  setBrush(Math.max(2, Math.round(Math.min(video.width, video.height) / 40)));
  setOpacity(45);
  setTool("click");
  await openFrame(video.first_frame);
  // Else what is wrong with it is being said.
  if (!$("toast").matches(".shown")) {
    showMessage(`Frame ${video.first_frame}: ${video.first_reason}.`);
  }
  await parts.runPanel.refresh();
  await connectCorrections();
  connectScale();
  watchNetwork();
  noticeOtherTabs();
  document.body.dataset.ready = "yes";
}

/** Tabs share the drafts that the server keeps: the later one replaces the earlier one. */
function noticeOtherTabs() {
  const tabs = new BroadcastChannel(`annotate ${state.video.id}`);
  tabs.onmessage = ({ data: isNew }) => {
    showMessage("This page is open in another tab as well. Draw in one of them only.", true);
    if (isNew) tabs.postMessage(false);
  };
  tabs.postMessage(true);
}

function createParts(video) {
  parts.tools = createTools(editor);
  const noTool = {};
  const presentTool = () => (state.mode === "label" ? parts.tools[state.tool] : noTool);
  parts.view = new View($("canvas"), video.colours, presentTool);
  parts.view.drawOver = drawProposals;
  parts.view.setSize(video.width, video.height, video.pixel_aspect);
  parts.view.onZoom = () => {
    $("zoom-fit").textContent = `${Math.round(parts.view.scale * 100)} %`;
    loadFullImage();
  };
  const elements = { strip: $("strip"), line: $("line"), marks: $("marks"), number: $("number") };
  parts.filmstrip = new Filmstrip(elements, video, openFrame);
  parts.labelList = new LabelList(openFrame, removeLabel);
  parts.runPanel = new RunPanel(video.presets, (results) => {
    showResults(results);
    loadCorrections();
  });
}
