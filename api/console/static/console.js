// Without this file every page works by forms and links. It adds three things: a job's
// page stays live, a form is sent once, and a login asks for its code in place.
"use strict";

function keepLive(root) {
  const source = new EventSource(root.dataset.live);
  source.addEventListener("message", (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) {
      put(document.getElementById(id), html);
    }
  });
  source.addEventListener("over", () => source.close());
  source.addEventListener("gone", () => {
    source.close();
    location.reload();
  });
  // A broken stream is taken up by the browser; one that was refused, by nobody else:
  // a proxy does so while the web process is started anew.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(keepLive, 5000, root);
  });
  window.addEventListener("pagehide", () => source.close());
}

// The server escapes what it sends; the page's policy runs no script that stands in it.
function put(element, html) {
  if (!element || element.dataset.shown === html) return;
  const content = new DOMParser().parseFromString(html, "text/html").body;
  const first = element.dataset.shown === undefined;
  element.dataset.shown = html;
  // What the page came with is the same; a form that somebody fills in stays.
  if (first && plain(element) === plain(content)) return;
  const opened = [...element.querySelectorAll("details.more[open]")].map(summaryOf);
  element.replaceChildren(...content.childNodes);
  for (const one of element.querySelectorAll("details.more")) {
    one.open = opened.includes(summaryOf(one));
  }
  for (const form of element.querySelectorAll("form[method=post]")) sendOnce(form);
}

const summaryOf = (details) => details.querySelector("summary").textContent;

// What it says, apart from what somebody has typed there.
function plain(element) {
  const copy = element.cloneNode(true);
  for (const typed of copy.querySelectorAll("textarea")) typed.remove();
  return copy.textContent.replace(/\s+/g, " ").trim();
}

function sendOnce(form) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button[type=submit]");
    if (button) button.disabled = true;
  });
}

function askInPlace(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.action, { method: "POST", body }).catch(() => null);
    if (!answer) {
      const note = document.createElement("p");
      note.className = "note bad";
      note.role = "alert";
      note.textContent = "The panel does not answer. Try again in a moment.";
      form.querySelector("[data-told]").replaceChildren(note);
      return;
    }
    if (answer.redirected) {
      location.assign(answer.url);
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const told = page.querySelector("[data-told]");
    if (!told) {
      form.submit();
      return;
    }
    form.querySelector("[data-told]").replaceChildren(...told.childNodes);
    const code = form.querySelector("[data-code]");
    code.hidden = page.querySelector("[data-code]").hidden;
    (code.hidden ? form.elements.password : form.elements.code).focus();
  });
}

window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button:disabled")) {
    button.disabled = false;
  }
});
for (const form of document.querySelectorAll("form[method=post]")) {
  if (form.dataset.login === undefined) sendOnce(form);
  else askInPlace(form);
}
for (const root of document.querySelectorAll("[data-live]")) keepLive(root);
