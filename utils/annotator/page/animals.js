// Which animal is being labelled.

import { $, createButton } from "./dom.js";
import { countAnimals } from "./pixels.js";
import { emptyValues, parts, state } from "./state.js";

/** `counts`: the pixels of each animal, of `countAnimals`. */
export function showAnimals(counts) {
  const list = $("animals");
  if (list.children.length !== state.numAnimals) {
    const numbers = Array.from({ length: state.numAnimals }, (_, i) => i + 1);
    list.replaceChildren(...numbers.map(createChoice));
  }
  [...list.children].forEach((choice, i) => {
    choice.setAttribute("aria-checked", i + 1 === state.animal);
    choice.tabIndex = i + 1 === state.animal ? 0 : -1; // arrow keys lead to the others
    choice.title = `${counts[i + 1]} pixels` + (i < 9 ? ` (${i + 1})` : "");
  });
  $("add-animal").disabled = state.numAnimals >= state.video.colours.length;
}

function createChoice(number) {
  const choice = createButton("", () => setAnimal(number));
  choice.setAttribute("role", "radio");
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.background = `rgb(${state.video.colours[number - 1].join(",")})`;
  const text = document.createElement("span");
  text.textContent = `Animal ${number}`;
  choice.append(swatch, text);
  return choice;
}

export function setAnimal(number) {
  if (number > state.numAnimals) return;
  state.animal = number;
  showAnimals(countAnimals(state.label.values ?? emptyValues()));
  parts.view.draw();
}

/** `by`: 1 chooses the next animal, -1 the one before; its button gets the focus. */
export function stepAnimal(by) {
  const { animal, numAnimals } = state;
  setAnimal(((animal - 1 + by + numAnimals) % numAnimals) + 1);
  $("animals").children[state.animal - 1].focus();
}

export function addAnimal() {
  if (state.numAnimals >= state.video.colours.length) return;
  state.numAnimals++;
  setAnimal(state.numAnimals);
}
