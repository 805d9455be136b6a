/** `[data-module=look]`: light, dark, or as the system has it; kept in this browser. */

export default function look(section) {
  const chosen = localStorage.getItem("theme") ?? "";
  for (const input of section.querySelectorAll("input[name=theme]")) {
    input.checked = input.value === chosen;
    input.addEventListener("change", () => {
      if (input.value) {
        localStorage.setItem("theme", input.value);
        document.documentElement.dataset.theme = input.value;
      } else {
        localStorage.removeItem("theme");
        delete document.documentElement.dataset.theme;
      }
    });
  }
}
