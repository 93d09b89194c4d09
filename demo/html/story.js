"use strict";
// Keeps the list and the request that is shown up to date. No answer of the
// server is trusted to be a script: the policy of the page forbids those.
const rows = document.getElementById("rows");
const shown = document.getElementById("request");
const follow = document.getElementById("follow");
const live = document.getElementById("live");
const most = 40;
let id = document.getElementById("request-id")?.textContent ?? "";
let reloading = 0;

function mark() {
  for (const a of rows.querySelectorAll("a")) {
    if (a.dataset.id === id) a.setAttribute("aria-current", "true");
    else a.removeAttribute("aria-current");
  }
}

async function show(next) {
  const moved = next !== id;
  id = next;
  mark();
  const answer = await fetch("/request/" + encodeURIComponent(next) + "?part");
  if (!answer.ok || next !== id) return;
  const html = await answer.text();
  const open = moved ? [] : [...shown.querySelectorAll("details")].map((d) => d.open);
  shown.innerHTML = html;
  shown.querySelectorAll("details").forEach((d, i) => { d.open = open[i] ?? false; });
}

rows.addEventListener("click", (e) => {
  const a = e.target.closest("a");
  if (!a || e.ctrlKey || e.metaKey || e.shiftKey) return;
  e.preventDefault();
  follow.checked = false;
  history.pushState(null, "", a.getAttribute("href"));
  show(a.dataset.id).then(() => { shown.focus(); });
});

addEventListener("popstate", () => location.reload());

follow.addEventListener("change", () => {
  history.replaceState(null, "", follow.checked ? "/" : id ? "/request/" + id : "/");
});

const events = new EventSource("/events");
events.onopen = () => { live.textContent = "Live."; };
events.onerror = () => { live.textContent = "The demo does not answer; trying again."; };
events.onmessage = (e) => {
  const told = JSON.parse(e.data);
  const holder = document.createElement("template");
  holder.innerHTML = told.row;
  const row = holder.content.firstElementChild;
  const old = document.getElementById(row.id);
  if (old) {
    const focused = old.contains(document.activeElement);
    old.replaceWith(row);
    if (focused) row.querySelector("a").focus();
  } else {
    rows.prepend(row);
    document.getElementById("none").hidden = true;
    while (rows.children.length > most) rows.lastElementChild.remove();
  }
  if (told.page && follow.checked && told.id !== id && !old?.dataset.seen) {
    row.dataset.seen = "1";
    show(told.id);
    return;
  }
  row.dataset.seen = told.page ? "1" : "";
  mark();
  if (told.id === id) {
    clearTimeout(reloading);
    reloading = setTimeout(() => show(id), 150); // whichever is shown by then
  }
};
