// What the page asks of the server. Every error is an Error whose message can be shown.

export const RETRY_MS = 5000; // until what failed is asked again

// Browsers may keep frames, and another session on this port may show another video: that one has
// other addresses for its frames, and refuses what this page sends.
const SESSION = Date.now().toString(36);
let videoId;

async function ask(path, options = {}) {
  let response;
  try {
    const headers = videoId ? { ...options.headers, "X-Video": videoId } : options.headers;
    response = await fetch(path, { cache: "no-store", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("annotate.py does not answer. Is it still running in the terminal?");
  }
  if (response.ok) return response;
  const content = await response.json().catch(() => ({}));
  throw new Error(content.error || `The server answered with status ${response.status}.`);
}

export const getJson = async (path) => (await ask(path)).json();

/** What the page shows; from now on every request says which video it means. */
export async function getVideo() {
  const video = await getJson("/api/video");
  videoId = video.id;
  return video;
}

export const post = async (path, body, headers = {}) =>
  (await ask(path, { method: "POST", body, headers })).json();

export const postJson = (path, content) =>
  post(path, JSON.stringify(content), { "Content-Type": "application/json" });

export const remove = async (path) => (await ask(path, { method: "DELETE" })).json();

export async function getMask(kind, frame) {
  const response = await ask(`/api/masks/${kind}/${frame}`);
  return {
    values: new Uint8Array(await response.arrayBuffer()),
    voidPixels: Number(response.headers.get("X-Void-Px")),
    labelTime: response.headers.get("X-Label-Time") || null, // of a draft, see keepDraft
  };
}

export async function segment(frame, request, labels) {
  const form = new FormData();
  form.append("request", JSON.stringify(request));
  if (labels) form.append("labels", labels, "labels.png");
  const response = await ask(`/api/segment/${frame}`, { method: "POST", body: form });
  return new Uint8Array(await response.arrayBuffer());
}

/** `start`: the labelled frame that the proposals come from, or null. */
export async function getProposals(frame, signal) {
  const response = await ask(`/api/proposals/${frame}`, { signal });
  const start = response.headers.get("X-Starting-Frame");
  const values = new Uint8Array(await response.arrayBuffer());
  return { values, start: start === null ? null : Number(start) };
}

/** What is wrong with an address, null if nothing is. */
export const errorOf = (path) => ask(path).then(() => null, (error) => error.message);

export const frameAddress = (frame, size) => `/api/frames/${frame}/${size}.jpg?v=${SESSION}`;

export const previewAddress = (version) => `/api/preview.png?v=${version}`;

export const overlayAddress = (version) => `/api/overlay.mp4?v=${version}`;
