// The list of labelled frames.

import { $, createButton, fillList } from "./dom.js";

export class LabelList {
  /** `onOpen` and `onDelete` get the frame. */
  constructor(onOpen, onDelete) {
    this.onOpen = onOpen;
    this.onDelete = onDelete;
    this.opens = new Map(); // frame -> the button that opens it
  }

  update(labelled, current) {
    fillList($("labels"), labelled, () => {
      this.opens.clear();
      return labelled.map((frame) => this.createItem(frame));
    });
    $("no-labels").hidden = labelled.length > 0;
    this.showCurrent(current);
  }

  createItem(frame) {
    const item = document.createElement("li");
    const open = createButton(`Frame ${frame}`, () => this.onOpen(frame));
    open.className = "go";
    this.opens.set(frame, open);
    const remove = createButton("Delete", () => this.onDelete(frame));
    remove.setAttribute("aria-label", `Delete the label of frame ${frame}`);
    item.append(open, remove);
    return item;
  }

  showCurrent(current) {
    for (const [frame, open] of this.opens) {
      if (frame === current) open.setAttribute("aria-current", "true");
      else open.removeAttribute("aria-current");
    }
  }
}
