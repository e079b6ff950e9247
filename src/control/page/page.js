"use strict";
// Asks for the page again and moves what changed into the one that is shown: the server writes
// every figure, so that it looks the same without this script.
(() => {
  const EVERY_MS = 2000;
  const KEPT_AS = "dvbulk-token";
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  root.classList.add("script");

  // The part behind # never reaches a server; it leaves the address line too.
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEPT_AS, given);
    history.replaceState(null, "", location.pathname);
  }

  const say = (text, isBad) => {
    const note = by("note");
    note.textContent = text;
    note.className = isBad ? "bad" : "";
  };
  const showKey = () => {
    const kept = sessionStorage.getItem(KEPT_AS) !== null;
    by("key-form").hidden = kept;
    by("key-kept").hidden = !kept;
  };
  const headers = () => {
    const token = sessionStorage.getItem(KEPT_AS);
    return token === null ? {} : { Authorization: "Bearer " + token };
  };

  // Keeps every node that can stay, and with it focus and selection.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const before = [...old.childNodes];
    const after = [...fresh.childNodes];
    after.forEach((node, at) => (at < before.length ? morph(before[at], node) : old.append(node)));
    before.slice(after.length).forEach((node) => node.remove());
  };

  // A token that is refused is of another run, or mistyped.
  const refused = async (answer) => {
    if (answer.status === 401) sessionStorage.removeItem(KEPT_AS);
    showKey();
    say((await answer.text()).trim(), true);
  };

  let isLost = false;
  let timer = 0;
  const look = async () => {
    clearTimeout(timer);
    try {
      const answer = await fetch("/", { headers: headers(), cache: "no-store" });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        morph(by("run"), fresh.getElementById("run"));
        document.title = fresh.title;
        if (isLost) say("", false);
        isLost = false;
      } else {
        await refused(answer);
      }
    } catch {
      if (!isLost) {
        const seen = new Date().toLocaleTimeString();
        say("No answer since " + seen + ": the load has ended, or cannot be reached.", true);
      }
      isLost = true;
    }
    clearTimeout(timer);
    timer = setTimeout(look, isLost ? 5 * EVERY_MS : EVERY_MS);
  };

  const steer = async (wish) => {
    if (sessionStorage.getItem(KEPT_AS) === null) {
      say("Give the token first: it stands in the file named below.", true);
      by("token").focus();
      return;
    }
    if (wish === "drain" && !confirm("Finish what was begun, then end the load?")) return;
    try {
      const answer = await fetch("/" + wish, { method: "POST", headers: headers() });
      if (answer.ok) say("Asked to " + wish + ".", false);
      else await refused(answer);
    } catch {
      say("No answer: the load has ended, or cannot be reached.", true);
      return;
    }
    await look();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    if (button.dataset.wish) {
      steer(button.dataset.wish);
    } else if (button.id === "forget") {
      sessionStorage.removeItem(KEPT_AS);
      showKey();
      look();
    }
  });
  by("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = by("token").value.trim();
    by("token").value = "";
    if (token === "") return;
    sessionStorage.setItem(KEPT_AS, token);
    showKey();
    say("", false);
    look();
  });

  showKey();
  timer = setTimeout(look, given ? 0 : EVERY_MS);
})();
