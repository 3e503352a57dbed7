"use strict";
for (const article of document.querySelectorAll("article")) {
  const data = JSON.parse(article.querySelector("script").textContent);
  const video = article.querySelector("video");
  const last = data.names.length - 1;
  const lookup = {};
  for (const name in data.series) {
    const {frames, values} = data.series[name];
    lookup[name] = new Map(frames.map((frame, k) => [frame, values[k]]));
  }
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  // The middle of a frame's time on screen: never its neighbour, however times are rounded.
  function timeOf(frame) {
    const from = data.times[frame];
    const next = data.times[frame + 1] ?? 2 * from - (data.times[frame - 1] ?? from - 0.02);
    return from + (next - from) / 2;
  }
  function frameAt(time) {
    let low = 0, high = last;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (data.times[middle] <= time + 1e-4) low = middle; else high = middle - 1;
    }
    return low;
  }
  let chosen = 0; // seconds; kept, since the video may be replaced by a blob of itself, see below
  function seek(frame) {
    if (!video) return;
    video.pause();
    video.currentTime = chosen = timeOf(frame);
    show(frame);
  }
  function readout(frame, names) {
    const file = Number(data.names[frame]) === frame ? [] : [data.names[frame]];
    const values = names.filter(name => lookup[name].has(frame))
      .map(name => name + " " + lookup[name].get(frame).toFixed(3));
    return ["frame " + frame, ...file, ...(values.length ? values : ["not scored"])].join(" · ");
  }
  const place = frame => (last ? 100 * frame / last : 50) + "%";

  const charts = [...article.querySelectorAll(".chart")].map(figure => {
    const names = figure.dataset.series.split(" ");
    const known = [...new Set(names.flatMap(name => data.series[name].frames))].sort((a, b) => a - b);
    const plot = figure.querySelector(".plot");
    const chart = {
      names, plot, known, readout: figure.querySelector(".readout"),
      cursor: figure.querySelector(".cursor"), playhead: figure.querySelector(".playhead"),
    };
    const nearest = event => {
      const box = plot.getBoundingClientRect();
      const frame = Math.round(clamp((event.clientX - box.left) / box.width, 0, 1) * last);
      return known.reduce((best, other) => Math.abs(other - frame) < Math.abs(best - frame) ? other : best);
    };
    plot.addEventListener("pointermove", event => hover(chart, nearest(event), event.pointerType));
    plot.addEventListener("pointerleave", () => leave(chart));
    plot.addEventListener("click", event => seek(nearest(event)));
    plot.addEventListener("keydown", event => {
      const now = video ? frameAt(video.currentTime) : 0;
      const to = {ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last}[event.key];
      if (to === undefined) return;
      event.preventDefault();
      seek(clamp(to, 0, last));
    });
    return chart;
  });

  // A second, small player shows the frame under the pointer; the large one stays where it is.
  let tip, preview;
  function hover(chart, frame, pointer) {
    chart.cursor.style.cssText = "display: block; left: " + place(frame);
    chart.readout.textContent = readout(frame, chart.names);
    if (!video || pointer === "touch") return;
    if (!tip) {
      tip = Object.assign(document.createElement("div"), {className: "tip"});
      preview = Object.assign(document.createElement("video"), {muted: true, preload: "auto"});
      preview.src = video.currentSrc || video.src;
      tip.append(preview);
    }
    if (tip.parentNode !== chart.plot) chart.plot.append(tip);
    tip.style.left = clamp(chart.plot.clientWidth * (last ? frame / last : 0.5) - 104, -30, chart.plot.clientWidth - 200) + "px";
    preview.currentTime = timeOf(frame);
  }
  function leave(chart) {
    chart.cursor.style.display = "none";
    tip?.remove();
    if (video) show(frameAt(video.currentTime));
  }
  function show(frame) {
    for (const chart of charts) {
      chart.playhead.style.cssText = "display: block; left: " + place(frame);
      chart.readout.textContent = readout(frame, chart.names);
    }
  }

  article.showFrame = frame => seek(clamp(frame, 0, last));
  for (const button of article.querySelectorAll(".thumbs button"))
    button.addEventListener("click", () => seek(Number(button.dataset.frame)));
  if (!video) continue;
  const follow = () => { show(frameAt(video.currentTime)); if (!video.paused) requestAnimationFrame(follow); };
  for (const event of ["play", "seeked", "loadeddata"]) video.addEventListener(event, follow);
  // Some browsers seek only in blobs, and a blob is freed where a long attribute is not.
  if (video.getAttribute("src").startsWith("data:"))
    fetch(video.src).then(answer => answer.blob()).then(blob => {
      video.src = URL.createObjectURL(blob);
      if (chosen) video.currentTime = chosen;
    });
}

// An address that ends in #video-3-frame-120 shows that frame.
function followAddress() {
  const [, anchor, frame] = /^#(.+)-frame-(\d+)$/.exec(location.hash) ?? [];
  const article = anchor && document.getElementById(anchor);
  if (!article) return;
  article.scrollIntoView();
  article.showFrame?.(Number(frame));
}
addEventListener("hashchange", followAddress);
followAddress();
