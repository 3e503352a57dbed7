// The strip of thumbnails and the line below it. Only the thumbnails in view are in the page, two
// are asked for at a time; a long video is sampled, and every frame is on the line all the same.

import { frameAddress } from "./api.js";

const HEIGHT = 54;
const GAP = 4;
const MAX_THUMBNAILS = 500;
const AT_A_TIME = 2;

export class Filmstrip {
  constructor({ strip, line, marks, number }, video, onChoose) {
    this.strip = strip;
    this.line = line;
    this.marks = marks;
    this.video = video;
    this.onChoose = onChoose;
    const aspect = (video.width / video.height) * video.pixel_aspect;
    this.width = Math.round(Math.max(34, Math.min(128, HEIGHT * aspect)));
    this.step = Math.ceil(video.num_frames / MAX_THUMBNAILS);
    this.count = Math.ceil(video.num_frames / this.step);
    this.items = new Map();
    this.loading = 0;
    this.frame = 0;
    this.isDragging = false;
    this.state = { labelled: [], drafts: [], curve: null, check: [], corrected: [] };
    this.track = document.createElement("div");
    this.track.className = "track";
    this.track.style.width = `${this.count * (this.width + GAP)}px`;
    strip.append(this.track);
    line.max = number.max = video.num_frames - 1;
    strip.addEventListener("scroll", () => this.fill());
    strip.addEventListener(
      "wheel",
      (event) => {
        if (Math.abs(event.deltaY) <= Math.abs(event.deltaX)) return;
        strip.scrollLeft += event.deltaY;
        event.preventDefault();
      },
      { passive: false },
    );
    line.addEventListener("input", () => this.drag());
    number.addEventListener("change", () => {
      if (number.value) onChoose(Number(number.value));
      else this.show(this.frame); // it was cleared, and stands for no frame
    });
    this.number = number;
    new ResizeObserver(() => {
      this.fill();
      this.drawMarks();
    }).observe(strip);
  }

  /** Opens the frame of the slider, and while that loads none of those that it passes. */
  async drag() {
    if (this.isDragging) return;
    this.isDragging = true;
    let frame;
    do {
      frame = Number(this.line.value);
      await this.onChoose(frame);
    } while (Number(this.line.value) !== frame);
    this.isDragging = false;
  }

  show(frame) {
    this.frame = frame;
    this.line.value = this.number.value = frame;
    this.line.setAttribute("aria-valuetext", `frame ${frame}`);
    const left = Math.floor(frame / this.step) * (this.width + GAP);
    const { scrollLeft, clientWidth } = this.strip;
    if (left < scrollLeft || left + this.width > scrollLeft + clientWidth) {
      this.strip.scrollLeft = left - (clientWidth - this.width) / 2;
    }
    this.fill();
    this.drawMarks();
  }

  /**
   * `state`: labelled and drafts, lists of frames; check, frames to look at; curve, per frame;
   * corrected, the first and last frame of each run of corrected ones.
   */
  update(state) {
    Object.assign(this.state, state);
    this.fill();
    this.drawMarks();
  }

  fill() {
    const each = this.width + GAP;
    const first = Math.max(0, Math.floor(this.strip.scrollLeft / each) - 2);
    const end = this.strip.scrollLeft + this.strip.clientWidth;
    const last = Math.min(this.count - 1, Math.ceil(end / each) + 2);
    for (const [place, item] of this.items) {
      if (place < first || place > last) {
        item.remove();
        this.items.delete(place);
      }
    }
    for (let place = first; place <= last; place++) {
      if (!this.items.has(place)) this.items.set(place, this.addItem(place));
      this.mark(this.items.get(place), place);
    }
    this.load();
  }

  addItem(place) {
    const item = document.createElement("button");
    item.type = "button";
    item.tabIndex = -1; // the line below is the same for the keyboard
    item.style.left = `${place * (this.width + GAP)}px`;
    item.style.width = `${this.width}px`;
    item.addEventListener("click", () => this.onChoose(this.frameAt(place)));
    const image = document.createElement("img");
    image.alt = "";
    image.draggable = false;
    item.append(image, document.createElement("span"));
    this.track.append(item);
    return item;
  }

  /** The frame that a thumbnail stands for: of several the one whose mark it has, or the first. */
  frameAt(place) {
    const { labelled, drafts, check } = this.state;
    for (const frames of [labelled, drafts, check]) {
      const marked = frames.filter((frame) => this.isAt(frame, place));
      if (marked.length) return Math.min(...marked);
    }
    return place * this.step;
  }

  isAt(frame, place) {
    return Math.floor(frame / this.step) === place;
  }

  mark(item, place) {
    const name = `Frame ${this.frameAt(place)}`;
    if (item.title !== name) {
      item.title = name;
      item.setAttribute("aria-label", name);
      item.lastChild.textContent = this.frameAt(place);
    }
    const has = (frames) => frames.some((frame) => this.isAt(frame, place));
    item.classList.toggle("current", this.isAt(this.frame, place));
    item.classList.toggle("labelled", has(this.state.labelled));
    item.classList.toggle("draft", has(this.state.drafts));
    item.classList.toggle("check", has(this.state.check));
  }

  /** Asks for the missing thumbnails, those nearest the present frame first. */
  load() {
    if (this.loading >= AT_A_TIME) return;
    const here = this.frame / this.step;
    const missing = [...this.items]
      .filter(([, item]) => !item.dataset.asked)
      .sort(([a], [b]) => Math.abs(a - here) - Math.abs(b - here));
    for (const [place, item] of missing.slice(0, AT_A_TIME - this.loading)) {
      item.dataset.asked = "yes";
      this.loading++;
      const image = item.firstChild;
      image.onload = image.onerror = () => {
        this.loading--;
        this.load();
      };
      image.src = frameAddress(place * this.step, "thumbnail");
    }
  }

  drawMarks() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.marks;
    if (!width) return;
    this.marks.width = width * ratio;
    this.marks.height = height * ratio;
    const context = this.marks.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(this.marks);
    const last = Math.max(1, this.video.num_frames - 1);
    const inset = 8; // half the thumb of the slider
    const x = (frame) => inset + (frame / last) * (width - 2 * inset);
    if (this.state.curve) {
      context.beginPath();
      const step = Math.max(1, Math.floor(last / width));
      for (let frame = 0; frame <= last; frame += step) {
        const part = this.state.curve.slice(frame, frame + step);
        context.lineTo(x(frame), height - 1 - Math.min(...part) * (height - 3));
      }
      context.strokeStyle = style.getPropertyValue("--muted");
      context.lineWidth = 1.2;
      context.stroke();
    }
    const ticks = (frames, colour, wide) => {
      context.fillStyle = style.getPropertyValue(colour);
      for (const frame of frames) context.fillRect(x(frame) - wide / 2, 0, wide, height);
    };
    context.fillStyle = style.getPropertyValue("--good");
    for (const [first, end] of this.state.corrected) {
      context.fillRect(x(first) - 1, height - 3, x(end) - x(first) + 2, 3);
    }
    ticks(this.state.check, "--warn", 2);
    ticks(this.state.drafts, "--draft", 3);
    ticks(this.state.labelled, "--good", 3);
    ticks([this.video.first_frame], "--accent", 1);
  }
}
