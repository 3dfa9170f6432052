// Rows of a form ([data-rows] holds [data-row]) are added and taken out in place, and [data-sum] fields are added up as they are typed.
// Without scripts the same buttons ask the server, and the sum is shown once the form is kept.
(() => {
  "use strict";
  const box = document.querySelector("[data-rows]");
  if (!box) return;
  const rows = () => Array.from(box.querySelectorAll("[data-row]"));
  const add = box.querySelector("[data-row-add]");

  // Row n is known by the last number in names, ids and what refers to them, and in its legend.
  const number = (row, n) => {
    row.querySelectorAll("[name], [id], [for], [aria-describedby]").forEach((node) => {
      ["name", "id", "for", "aria-describedby"].forEach((key) => {
        const value = node.getAttribute(key);
        if (value && key !== "name") node.setAttribute(key, value.replace(/_\d+/g, `_${n}`));
        else if (value) node.setAttribute(key, value.replace(/_\d+$/, `_${n}`));
      });
      if (node.hasAttribute("data-row-remove")) node.value = `remove-${n}`;
    });
    const legend = row.querySelector("legend");
    legend.textContent = legend.textContent.replace(/\d+/, n);
  };
  const total = () => {
    const place = box.querySelector("[data-sum-of]");
    const cents = Array.from(box.querySelectorAll("[data-sum]"), (field) => Math.round(Number(field.value.replace(/[,，¥\s]/g, "")) * 100));
    place.hidden = cents.some(Number.isNaN);
    const sum = cents.reduce((before, one) => before + one, 0) / 100;
    place.querySelector("[data-sum-text]").textContent = place.dataset.sign + sum.toLocaleString("en-US", { minimumFractionDigits: 2 });
  };
  const settle = () => {
    rows().forEach((row, n) => number(row, n + 1));
    if (add) add.hidden = rows().length >= Number(box.dataset.rowsMost);
    total();
  };

  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-row-add], [data-row-remove]");
    if (!button) return;
    event.preventDefault();
    const all = rows();
    if (button.hasAttribute("data-row-add")) {
      const fresh = all[all.length - 1].cloneNode(true);
      fresh.querySelectorAll("input").forEach((field) => { field.value = ""; field.removeAttribute("aria-invalid"); });
      fresh.querySelectorAll(".field-error").forEach((said) => said.remove());
      fresh.querySelectorAll(".is-wrong").forEach((field) => field.classList.remove("is-wrong"));
      all[all.length - 1].after(fresh);
      settle();
      fresh.querySelector("input").focus();
    } else if (all.length > 1) {
      const row = button.closest("[data-row]");
      const next = row.nextElementSibling;
      row.remove();
      settle();
      (next && next.matches("[data-row]") ? next : rows()[rows().length - 1]).querySelector("input").focus();
    } else {
      all[0].querySelectorAll("input").forEach((field) => { field.value = ""; });
      settle();
    }
  });
  box.addEventListener("input", total);
  settle();
})();
