"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const make = (name, css, text) => {
    const made = document.createElement(name);
    if (css) made.className = css;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const remember = (key, value) => {
    // A browser may forbid storage to a file.
    try { localStorage.setItem(key, value); } catch { /* the choice lasts as long as the page */ }
  };
  const recall = (key) => {
    try { return localStorage.getItem(key); } catch { return null; }
  };

  // Light and dark
  const themeButton = byId("theme");
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (systemDark.matches ? "dark" : "light")) === "dark";
  const showTheme = () => { themeButton.textContent = isDark() ? "Light" : "Dark"; };
  const stored = recall("effortctl-theme");
  if (stored === "dark" || stored === "light") root.dataset.theme = stored;
  themeButton.hidden = false;
  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember("effortctl-theme", root.dataset.theme);
    showTheme();
  });
  systemDark.addEventListener("change", showTheme);
  showTheme();

  // Linear and logarithmic dollars
  const axisButtons = [...document.querySelectorAll("[data-axis-button]")];
  const showAxis = (axis) => {
    root.dataset.axis = axis;
    for (const button of axisButtons) {
      button.setAttribute("aria-pressed", String(button.dataset.axisButton === axis));
    }
  };
  for (const button of axisButtons) {
    button.addEventListener("click", () => showAxis(button.dataset.axisButton));
  }
  for (const group of document.querySelectorAll(".switch")) group.hidden = false;

  // What a mark stands for
  const tip = byId("tip");
  const showTip = (mark) => {
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const spot = mark.querySelector(".shape").getBoundingClientRect();
    const left = spot.left + spot.width / 2 - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(8, Math.min(left, root.clientWidth - tip.offsetWidth - 8))}px`;
    const above = spot.top - tip.offsetHeight - 10;
    tip.style.top = `${above > 4 ? above : spot.bottom + 10}px`;
  };
  const hideTip = () => { tip.hidden = true; };
  for (const mark of document.querySelectorAll(".mark")) {
    mark.addEventListener("pointerenter", () => showTip(mark));
    mark.addEventListener("focus", () => showTip(mark));
    mark.addEventListener("pointerleave", hideTip);
    mark.addEventListener("blur", hideTip);
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  addEventListener("scroll", hideTip, { passive: true });

  // Sortable tables; what has no value stays at the end either way
  const keyOf = (row, column) => {
    const value = row.cells[column].dataset.v;
    if (value === undefined) return null;
    return value !== "" && Number.isFinite(Number(value)) ? Number(value) : value;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b));
  };
  const sortBy = (table, column) => {
    const headings = [...table.tHead.rows[0].cells];
    const up = headings[column].getAttribute("aria-sort") !== "ascending";
    for (const heading of headings) heading.removeAttribute("aria-sort");
    headings[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return up ? compare(a, b) : compare(b, a);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => sortBy(table, column));
    });
  }

  // Tasks one by one. Names and prompts are foreign text: only ever textContent.
  const data = JSON.parse(byId("tasks-data").textContent);
  const list = byId("task-list");
  if (!data || !list) return;
  const PAGE = 25;
  const usd = (value) => {
    if (!value) return "$0";
    const places = Math.min(12, Math.max(value >= 100 ? 0 : 2, 2 - Math.floor(Math.log10(value))));
    const text = value.toLocaleString("en-US", { maximumFractionDigits: places });
    return `$${text}`;
  };
  const score = (value) => (value === 1 ? "right" : value === 0 ? "wrong" : value.toFixed(2));
  const armName = (index) => data.arms[index] ?? "none";
  const controls = { policy: byId("task-policy"), order: byId("task-order"), text: byId("task-text"), only: byId("task-only") };
  data.policies.forEach((policy, index) => {
    const option = make("option", "", policy.name);
    option.value = String(index);
    controls.policy.append(option);
  });
  const arms = () => data.scores[data.best] || [];
  const policyOf = () => data.policies[Number(controls.policy.value)] || data.policies[0];
  const qualityOf = (task) => { const policy = policyOf(); return policy ? policy.quality[task] : arms()[task] ?? 0; };
  const costOf = (task) => { const policy = policyOf(); return policy ? policy.cost[task] : (data.costs[data.best] || [])[task] ?? 0; };
  const gainOf = (task) => qualityOf(task) - (arms()[task] ?? qualityOf(task));
  const orders = {
    cost: (a, b) => costOf(b) - costOf(a),
    cheap: (a, b) => costOf(a) - costOf(b),
    wrong: (a, b) => qualityOf(a) - qualityOf(b) || costOf(b) - costOf(a),
    worse: (a, b) => gainOf(a) - gainOf(b) || costOf(b) - costOf(a),
    file: (a, b) => a - b,
  };
  const filters = {
    all: () => true,
    wrong: (task) => qualityOf(task) < 1,
    worse: (task) => gainOf(task) < 0,
    better: (task) => gainOf(task) > 0,
  };
  const textOf = (task) => [data.ids[task], data.categories[task], data.prompts[task]].filter(Boolean).join(" ").toLowerCase();
  const armTable = (task) => {
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const name of ["arm", "score", "$"]) {
      const cell = make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = table.createTBody();
    data.arms.forEach((name, arm) => {
      if (!data.scores[arm].length) return;
      const row = body.insertRow();
      const heading = make("th", "");
      heading.scope = "row";
      heading.append(make("bdi", "", name));
      const cost = data.costs[arm][task];
      row.append(heading, make("td", "", score(data.scores[arm][task])), make("td", "", cost === undefined ? "–" : usd(cost)));
    });
    const frame = make("div", "scroll");
    frame.append(table);
    return frame;
  };
  const inside = (task) => {
    const box = make("div", "inside");
    if (data.prompts[task] !== undefined) {
      const prompt = make("p", "prompt", data.prompts[task]);
      prompt.dir = "auto";
      prompt.tabIndex = 0;
      box.append(prompt);
    }
    box.append(armTable(task));
    return box;
  };
  const entry = (task) => {
    const item = make("details", "task");
    const line = make("summary");
    const name = make("span");
    name.append(make("bdi", "", data.ids[task]));
    if (data.categories[task]) name.append(make("bdi", "soft", `  ${data.categories[task]}`));
    const calls = (policyOf()?.calls || [])[task] || [];
    const path = make("span", "soft");
    calls.forEach((arm, number) => path.append(number ? " → " : "", make("bdi", "", armName(arm))));
    const quality = qualityOf(task);
    line.append(name, path, make("span", quality < 1 ? "bad" : "", score(quality)), make("span", "", usd(costOf(task))));
    item.append(line);
    item.addEventListener("toggle", () => { if (item.open && item.children.length === 1) item.append(inside(task)); });
    return item;
  };
  let found = [];
  let shown = 0;
  const more = byId("more");
  const showMore = () => {
    list.append(...found.slice(shown, shown + PAGE).map(entry));
    shown = Math.min(found.length, shown + PAGE);
    more.hidden = shown >= found.length;
    byId("task-count").textContent = `${shown.toLocaleString("en-US")} of ${found.length.toLocaleString("en-US")} shown`;
  };
  const update = () => {
    const wanted = controls.text.value.trim().toLowerCase();
    found = data.ids.map((_, task) => task).filter((task) => filters[controls.only.value](task) && (!wanted || textOf(task).includes(wanted)));
    found.sort(orders[controls.order.value]);
    shown = 0;
    list.replaceChildren();
    showMore();
  };
  for (const control of Object.values(controls)) control.addEventListener("input", update);
  more.addEventListener("click", showMore);
  if (!data.policies.length) controls.policy.parentElement.hidden = true;
  update();
})();
