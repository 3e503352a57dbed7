// Elements of the page, and the message that appears over the canvas for a while.

export const $ = (id) => document.getElementById(id);

const MESSAGE_MS = 3500;
const ERROR_MS = 9000;
let hideTimer;

export function showMessage(text, isError = false) {
  const toast = $("toast");
  toast.textContent = $("news").textContent = text;
  toast.className = isError ? "toast shown error" : "toast shown";
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => {
    toast.classList.remove("shown");
    $("news").textContent = ""; // the same message later is read out again
  }, isError ? ERROR_MS : MESSAGE_MS);
}

export const showError = (error) => showMessage(error.message, true);

/** Writes a text unless it is there already: screen readers read out what is written. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function createButton(text, onClick) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.addEventListener("click", onClick);
  return element;
}

/** Fills a list, unless it shows `facts` already: whatever has the focus in it would lose it.
 * Returns whether it was filled. */
export function fillList(list, facts, createItems) {
  const text = JSON.stringify(facts);
  if (list.dataset.facts === text) return false;
  list.dataset.facts = text;
  list.replaceChildren(...createItems());
  return true;
}
