// Small conveniences by data attributes; every page works without them.
(() => {
  "use strict";
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  // The error summary takes the focus, so that it is read first.
  const summary = document.querySelector("[data-focus]");
  if (summary) summary.focus();

  // [data-dismiss] closes its banner; it is hidden where scripts do not run.
  all("[data-dismiss]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      button.closest(".notice").remove();
      document.getElementById("main").focus();
    });
  });

  // A form is sent once. The name and value of the pressed button still travel: it is disabled a tick later.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "get" || form.dataset.again !== undefined) return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    setTimeout(() => all("button[type=submit]", form).forEach((b) => b.setAttribute("aria-disabled", "true")), 0);
  });
  addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => {
    delete form.dataset.sent;
    all("[aria-disabled=true]", form).forEach((b) => b.removeAttribute("aria-disabled"));
  }));

  // [data-open="id"] opens a <dialog>, [data-close] closes it; the browser gives the focus back.
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    const dialog = opener && document.getElementById(opener.dataset.open);
    if (dialog && dialog.showModal) {
      event.preventDefault();
      dialog.showModal();
      return;
    }
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
    all("details[data-menu][open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    all("details[data-menu][open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  });

  // [data-copy="id"] copies that field and says so; where scripts do not run it is hidden, and the field can be selected.
  all("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const field = document.getElementById(button.dataset.copy);
      field.select();
      if (navigator.clipboard) await navigator.clipboard.writeText(field.value);
      else document.execCommand("copy"); // plain http
      button.nextElementSibling.textContent = button.dataset.copied;
    });
  });

  // [data-auto] on a select sends its form at once (with a button for those without scripts).
  all("select[data-auto]").forEach((select) => select.addEventListener("change", () => select.form.requestSubmit()));

  // [data-select-all="name"] ticks every box of that name; [data-selected-count] says how many are ticked.
  all("[data-select-all]").forEach((box) => {
    const boxes = all(`input[type=checkbox][name="${box.dataset.selectAll}"]`);
    const count = document.querySelector("[data-selected-count]");
    const tell = () => { if (count) count.textContent = boxes.filter((one) => one.checked).length; };
    box.addEventListener("change", () => { boxes.forEach((one) => { one.checked = box.checked; }); tell(); });
    boxes.forEach((one) => one.addEventListener("change", tell));
    tell();
  });

  // [data-poll="url"] asks for {"text", "percent", "done", "href"} until done, then follows href or reloads.
  all("[data-poll]").forEach((node) => {
    let wait = 1000 * Number(node.dataset.pollEvery || 2);
    const ask = async () => {
      try {
        const answer = await fetch(node.dataset.poll, { headers: { Accept: "application/json" }, credentials: "same-origin" });
        if (!answer.ok) throw new Error(String(answer.status));
        const state = await answer.json();
        const text = node.querySelector("[data-poll-text]");
        if (state.text && text.textContent !== state.text) text.textContent = state.text;
        const bar = node.querySelector("[data-poll-bar]");
        if (bar && typeof state.percent === "number") bar.value = state.percent;
        if (state.done) {
          const next = state.href ? new URL(state.href, location.href) : location;
          if (next.origin === location.origin) location.assign(next.href);
          return;
        }
      } catch { wait = Math.min(wait * 2, 30000); }
      setTimeout(ask, wait);
    };
    setTimeout(ask, wait);
  });
})();
