// Recovery pages: comfort only. Every step works without any of this.
"use strict";

// Whoever comes from another site's page (a mail, say) sends no cookie of ours; our own page's request does.
const arrival = document.querySelector("[data-arrive]");
if (arrival) {
  location.replace(arrival.href + location.hash);
}

// What a link carries behind its "#" goes into the form. It is sent when the visitor says so, and not before: programs
// that look at links in mail open pages as well.
const link = new URLSearchParams(location.hash.slice(1));
if (!arrival && (link.has("code") || link.has("token"))) {
  for (const field of document.querySelectorAll("[data-from-link]")) {
    field.value = link.get(field.name) ?? field.value;
  }
  history.replaceState(null, "", location.pathname + location.search);
  for (const note of document.querySelectorAll("[data-filled]")) {
    note.textContent = note.dataset.filled;
  }
}
for (const row of document.querySelectorAll("[data-hidden-when-filled]")) {
  const field = document.getElementById(row.dataset.hiddenWhenFilled);
  row.hidden = field.value !== "" && field.getAttribute("aria-invalid") !== "true";
}

// What is wrong is the first thing to be read.
document.getElementById("problem")?.focus();

for (const button of document.querySelectorAll("[data-shows]")) {
  const field = document.getElementById(button.dataset.shows);
  const show = (shown) => {
    field.type = shown ? "text" : "password";
    button.textContent = shown ? button.dataset.hide : button.dataset.show;
  };
  button.hidden = false;
  button.addEventListener("click", () => show(field.type === "password"));
  // Shown, it would be kept by the browser like any text.
  field.form.addEventListener("submit", () => show(false));
}

const live = document.querySelector("[data-live]");
if (live) {
  const password = document.getElementById("password");
  const address = document.getElementById("username");
  const rules = Object.fromEntries([...document.querySelectorAll("[data-rule]")].map((rule) => [rule.dataset.rule, rule]));
  const least = Number(rules.length.dataset.least);
  const fold = (text) => text.normalize("NFC").trim().toLowerCase();
  let saying;
  const look = () => {
    const typed = password.value.normalize("NFC");
    const count = [...typed].length;
    const own = [rules.personal.dataset.not, address?.value ?? ""].map(fold);
    const isPersonal = count > 0 && own.includes(fold(typed));
    rules.length.classList.toggle("kept", count >= least);
    rules.personal.classList.toggle("kept", count > 0 && !isPersonal);
    // Not at every key: it is read aloud.
    clearTimeout(saying);
    saying = setTimeout(() => {
      const counted = count < least ? live.dataset.count.replace("#", String(count)) : live.dataset.good;
      live.classList.toggle("unseen", count >= least && !isPersonal);
      live.textContent = count === 0 ? "" : isPersonal ? live.dataset.personal : counted;
    }, 400);
  };
  password.addEventListener("input", look);
  look();
}

// A second press would try a code twice.
for (const form of document.forms) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) {
      event.preventDefault();
    }
    sent = true;
  });
  addEventListener("pageshow", () => {
    sent = false;
  });
}
