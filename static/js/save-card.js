// Stripe's own card form: details go from this browser to Stripe, we get the id of the confirmed setup.
(() => {
  "use strict";
  const form = document.querySelector("[data-save-card]");
  if (!form || !window.Stripe) return;
  const stripe = window.Stripe(form.dataset.key, { locale: document.documentElement.lang });
  const elements = stripe.elements({ clientSecret: form.dataset.secret });
  elements.create("payment", { layout: "tabs" }).mount(form.querySelector("[data-card-field]"));
  const words = form.querySelector("[data-card-error]");
  const button = form.querySelector("button[type=submit]");
  form.addEventListener("submit", async (event) => {
    if (form.elements.setup_intent.value) return;
    event.preventDefault();
    button.disabled = true;
    words.hidden = true;
    const { error, setupIntent } = await stripe.confirmSetup({ elements, redirect: "if_required", confirmParams: { return_url: location.href } });
    if (error) {
      words.textContent = error.message;
      words.hidden = false;
      button.disabled = false;
      return;
    }
    form.elements.setup_intent.value = setupIntent.id;
    form.submit();
  });
})();
