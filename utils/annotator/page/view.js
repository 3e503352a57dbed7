// The canvas: the frame with its label drawn over it, zoom and pan, and pointers in frame pixels.

import { NUMBER } from "./pixels.js";

const MAX_SCALE = 40; // screen pixels per frame pixel
const MARGIN = 12; // pixels around a fitted frame
const BARS = { top: 44, bottom: 58 }; // where the hint and the buttons are
const ROOM_FOR_BARS = 400; // in a lower view they lie on the frame
const LINE = 1.6; // half the contour's width, screen pixels

export class View {
  /** `tool()` gives the present tool: {down, move, up, cancel, draw, cursor}, all optional. */
  constructor(canvas, colours, tool) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.tool = tool;
    this.colours = colours;
    this.label = null;
    this.image = null;
    this.opacity = 0.45;
    this.isShown = true;
    this.isPanning = false; // while the space bar is down, or with the hand
    this.hovered = null; // where the pointer is, in screen pixels: the view moves below it
    this.scale = 1; // screen pixels per frame pixel, on the side on which it is not stretched
    this.stretchX = this.stretchY = 1; // of pixels that are not square
    this.left = this.top = 0;
    this.mask = new OffscreenCanvas(1, 1);
    this.contour = new OffscreenCanvas(1, 1);
    this.pointers = new Map();
    this.gesture = null; // "tool", "pan" or "pinch"
    this.isFitted = true;
    this.onZoom = () => {};
    this.drawOver = () => {}; // below the tool, above the label
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  setSize(width, height, pixelAspect = 1) {
    this.width = width;
    this.height = height;
    this.stretchX = Math.max(1, pixelAspect);
    this.stretchY = Math.max(1, 1 / pixelAspect);
    this.mask = new OffscreenCanvas(width, height);
    this.maskContext = this.mask.getContext("2d");
    this.resize();
  }

  setImage(image) {
    this.image = image;
    this.draw();
  }

  setLabel(label) {
    this.label = label;
    this.changed();
  }

  /** Redraws the label in a rectangle of frame pixels, or all of it. */
  changed(area) {
    const { width, height } = this;
    const left = area ? area.left : 0;
    const top = area ? area.top : 0;
    const w = (area ? area.right + 1 : width) - left;
    const h = (area ? area.bottom + 1 : height) - top;
    if (w > 0 && h > 0) {
      const pixels = this.maskContext.createImageData(w, h);
      const words = new Uint32Array(pixels.data.buffer);
      const values = this.label.values;
      for (let y = 0; y < h; y++) {
        const row = (top + y) * width + left;
        for (let x = 0; x < w; x++) words[y * w + x] = this.words[values[row + x] & NUMBER];
      }
      this.maskContext.putImageData(pixels, left, top);
    }
    this.draw();
  }

  set colours(colours) {
    // As stored in memory, alpha first: all computers that run browsers are little-endian.
    this.words = new Uint32Array(NUMBER + 1);
    colours.forEach(([r, g, b], i) => {
      this.words[i + 1] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    });
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    if (!box.width || !this.width) return;
    this.ratio = ratio;
    this.box = { width: box.width, height: box.height };
    this.canvas.width = this.contour.width = Math.round(box.width * ratio);
    this.canvas.height = this.contour.height = Math.round(box.height * ratio);
    if (this.isFitted) this.fit();
    else this.moveTo(this.left, this.top);
  }

  get margins() {
    return this.box.height < ROOM_FOR_BARS ? { top: MARGIN, bottom: MARGIN } : BARS;
  }

  get fitScale() {
    const { width, height } = this.box;
    const { top, bottom } = this.margins;
    const scale = Math.min(
      (width - 2 * MARGIN) / (this.width * this.stretchX),
      (height - top - bottom) / (this.height * this.stretchY),
    );
    return Math.max(scale, 0.01);
  }

  get scaleX() {
    return this.scale * this.stretchX;
  }

  get scaleY() {
    return this.scale * this.stretchY;
  }

  fit() {
    this.scale = this.fitScale;
    this.isFitted = true;
    const { width, height } = this.box;
    const { top, bottom } = this.margins;
    const y = top + (height - top - bottom - this.height * this.scaleY) / 2;
    this.moveTo((width - this.width * this.scaleX) / 2, y);
    this.onZoom();
  }

  zoom(factor, x = this.box.width / 2, y = this.box.height / 2) {
    const limited = Math.max(this.fitScale * 0.5, Math.min(MAX_SCALE, this.scale * factor));
    const real = limited / this.scale;
    this.scale = limited;
    this.isFitted = false;
    this.moveTo(x - (x - this.left) * real, y - (y - this.top) * real);
    this.onZoom();
  }

  moveTo(left, top) {
    // A part of the frame stays in view.
    const { width, height } = this.box;
    const keep = 60;
    this.left = Math.min(width - keep, Math.max(keep - this.width * this.scaleX, left));
    this.top = Math.min(height - keep, Math.max(keep - this.height * this.scaleY, top));
    this.draw();
  }

  toFrame(x, y) {
    return { x: (x - this.left) / this.scaleX, y: (y - this.top) / this.scaleY };
  }

  toScreen(x, y) {
    return [this.left + x * this.scaleX, this.top + y * this.scaleY];
  }

  // Drawing

  draw() {
    if (this.isScheduled) return;
    this.isScheduled = true;
    requestAnimationFrame(() => {
      this.isScheduled = false;
      this.drawNow();
    });
  }

  drawNow() {
    const { context, canvas, ratio } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#161719";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!this.width || !canvas.width) return;
    this.placeFrame(context);
    context.imageSmoothingEnabled = this.scale * ratio < 3; // zoomed in far, pixels are squares
    context.imageSmoothingQuality = "medium";
    if (this.image) context.drawImage(this.image, 0, 0, this.width, this.height);
    if (this.label && this.isShown) {
      context.imageSmoothingEnabled = this.scale * ratio < 1;
      context.globalAlpha = this.opacity;
      context.drawImage(this.mask, 0, 0);
      context.globalAlpha = 1;
      this.drawContour();
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawOver(context, this);
    this.tool().draw?.(context, this);
  }

  placeFrame(context) {
    const { scaleX, scaleY, ratio } = this;
    context.setTransform(
      scaleX * ratio, 0, 0, scaleY * ratio, this.left * ratio, this.top * ratio,
    );
  }

  /** A line of constant width around each animal: the mask moved in all directions, less itself. */
  drawContour() {
    const context = this.contour.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.contour.width, this.contour.height);
    context.globalCompositeOperation = "source-over";
    this.placeFrame(context);
    context.imageSmoothingEnabled = false;
    for (let i = 0; i < 8; i++) {
      const angle = (i * Math.PI) / 4;
      context.drawImage(
        this.mask, (LINE * Math.cos(angle)) / this.scaleX, (LINE * Math.sin(angle)) / this.scaleY,
      );
    }
    context.globalCompositeOperation = "destination-out";
    context.drawImage(this.mask, 0, 0);
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.drawImage(this.contour, 0, 0);
  }

  // Pointers

  listen() {
    const { canvas } = this;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerup", (event) => this.onUp(event));
    canvas.addEventListener("pointercancel", (event) => this.onUp(event, true));
    canvas.addEventListener("pointerleave", () => {
      this.hovered = null;
      this.draw();
    });
  }

  /** Where the pointer hovers, in frame pixels; null if it does not. */
  get pointer() {
    return this.hovered && this.toFrame(...this.hovered);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    return { ...this.toFrame(x, y), screenX: x, screenY: y, event };
  }

  onWheel(event) {
    event.preventDefault();
    const { screenX, screenY } = this.place(event);
    const lines = event.deltaMode === 1 ? 16 : 1; // Firefox counts lines
    const step = Math.max(-120, Math.min(120, event.deltaY * lines));
    this.zoom(Math.exp(-step * (event.ctrlKey ? 0.01 : 0.002)), screenX, screenY);
  }

  onDown(event) {
    const place = this.place(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, place);
    if (this.pointers.size === 2) {
      if (this.gesture === "tool") this.tool().cancel?.();
      this.gesture = "pinch";
    } else if (this.pointers.size === 1) {
      const isPan = this.isPanning || event.button === 1;
      this.gesture = isPan ? "pan" : "tool";
      if (!isPan && (event.button === 0 || event.button === 2 || event.button === 5)) {
        this.tool().down?.(place);
      }
    }
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
  }

  onMove(event) {
    const place = this.place(event);
    this.hovered = event.pointerType === "touch" ? null : [place.screenX, place.screenY];
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.draw();
      return;
    }
    if (this.gesture === "pan") {
      this.isFitted = false;
      this.moveTo(
        this.left + place.screenX - before.screenX,
        this.top + place.screenY - before.screenY,
      );
    } else if (this.gesture === "pinch") {
      this.pinch(event.pointerId, before, place);
    } else if (this.gesture === "tool") {
      // A quick stroke has more points than the screen shows pictures.
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) this.tool().move?.(this.place(each));
    }
    this.pointers.set(event.pointerId, this.place(event)); // what was moved has a new place
    this.draw();
  }

  pinch(id, before, place) {
    const other = [...this.pointers].find(([key]) => key !== id)?.[1];
    if (!other || this.pointers.size !== 2) return;
    const reach = (a) => Math.hypot(a.screenX - other.screenX, a.screenY - other.screenY);
    const middle = (a) => [(a.screenX + other.screenX) / 2, (a.screenY + other.screenY) / 2];
    const [x0, y0] = middle(before);
    const [x1, y1] = middle(place);
    this.zoom(reach(place) / Math.max(10, reach(before)), x0, y0);
    this.moveTo(this.left + x1 - x0, this.top + y1 - y0);
  }

  onUp(event, isCancelled = false) {
    if (!this.pointers.has(event.pointerId)) return;
    const place = this.place(event);
    this.pointers.delete(event.pointerId);
    if (this.gesture === "tool") {
      if (isCancelled) this.tool().cancel?.();
      else this.tool().up?.(place);
    }
    // After a pinch the finger that stays must not draw.
    if (this.gesture !== "pinch" || !this.pointers.size) this.gesture = null;
    this.draw();
  }
}
