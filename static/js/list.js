// Keyboard on lists (table[data-keys]): j/k move, Enter opens, e and s press the row's done and snooze buttons,
// "/" goes to the search field, "?" shows the help dialog. Single letters can be switched off (WCAG 2.1.4).
(() => {
  "use strict";
  const table = document.querySelector("[data-keys]");
  if (!table) return;
  const OFF = "keys-off";
  const help = document.getElementById("keys-help");
  const toggle = help && help.querySelector("[data-keys-toggle]");
  const isOff = () => localStorage.getItem(OFF) === "1";
  if (toggle) {
    toggle.checked = !isOff();
    toggle.addEventListener("change", () => (toggle.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1")));
  }
  document.querySelectorAll("[data-keys-hint]").forEach((hint) => { hint.hidden = false; });
  const rows = () => Array.from(table.tBodies[0].rows);
  const current = () => rows().findIndex((row) => row.contains(document.activeElement) || row.classList.contains("is-current"));
  const move = (step) => {
    const list = rows();
    if (!list.length) return;
    const index = Math.max(0, Math.min(list.length - 1, current() + step));
    list.forEach((row) => row.classList.remove("is-current"));
    list[index].classList.add("is-current");
    const link = list[index].querySelector("[data-open-row], a, button");
    if (link) link.focus();
    list[index].scrollIntoView({ block: "nearest" });
  };
  const press = (name) => {
    const row = rows()[current()];
    const button = row && row.querySelector(`[data-key="${name}"]`);
    if (button) button.click();
  };
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input, textarea, select, [contenteditable], dialog");
    if (event.ctrlKey || event.metaKey || event.altKey || field || (isOff() && event.key !== "?")) return;
    const search = document.querySelector("input[type=search]");
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "e") press("done");
    else if (event.key === "s") press("snooze");
    else if (event.key === "/" && search) search.focus();
    else if (event.key === "?" && help) help.showModal();
    else return;
    event.preventDefault();
  });
})();
