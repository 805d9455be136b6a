/** `<form data-module="bulk">`: what is chosen with the boxes, one by one or all; says how many, and asks for an action. */

import { failed, Refused } from "./asking.js";

export default function bulk(form) {
  const button = form.querySelector("button:not([type=button])");
  const words = button.textContent;
  const chosen = () => form.querySelectorAll("input[name=id]:checked").length;
  const tell = () => (button.textContent = chosen() ? `${words} (${chosen()})` : words);
  form.addEventListener("change", tell);
  const all = form.querySelector("[data-part=all]");
  all.hidden = false;
  all.addEventListener("click", () => {
    const boxes = [...form.querySelectorAll("input[name=id]:enabled")];
    const isWanted = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = isWanted;
    tell();
  });
  form.addEventListener("submit", (event) => {
    if (chosen() && form.elements.action.value) return;
    event.preventDefault();
    failed(new Refused(chosen() ? "Choose what to do with them." : "Choose devices first, by the boxes before their names."));
  });
}
