"use strict";
// Shows the samples of a run. Every text is set as text: nothing that a model wrote becomes markup.
(() => {
  const stored = document.getElementById("index");
  if (!stored || typeof DecompressionStream === "undefined") return;

  const el = (tag, given = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.flat(Infinity).filter((child) => child != null && child !== ""));
    return made;
  };
  const unpacked = async (template) => {
    const text = atob(template.content.textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).json();
  };

  // Filters: what may be chosen, and whether a sample has it.
  const FILTERS = {
    gate: (sample, group, data) => Object.keys(sample.gates ?? {}).map((gate) => data.gates[gate]),
    verdict: (sample) => [sample.outcome],
    category: (sample, group) => [group.category].filter(Boolean),
    detector: (sample) => (sample.findings ?? []).map((finding) => finding[1]),
    tool: (sample) => sample.tools ?? [],
    change: (sample) => sample.changes ?? [],
  };
  const RANK = { worse: 0, better: 1, "other words": 2, broke: 3, miss: 4 };
  const STEP = 100; // scenarios that are drawn at once

  const start = (data) => {
    const rank = (sample) =>
      Math.min(9, ...[...(sample.changes ?? []), sample.outcome].map((what) => RANK[what] ?? 9));
    for (const group of data.groups) {
      group.rank = Math.min(...group.samples.map(rank));
      for (const sample of group.samples) sample.group = group;
    }
    data.groups.sort((a, b) => a.rank - b.rank); // the order is kept among equals
    const byKey = new Map(data.groups.flatMap((group) => group.samples.map((sample) => [sample.key, sample])));
    const packs = document.querySelectorAll("template.pack");
    const read = [];
    const wire = async (sample) => {
      const [pack, at] = sample.place;
      const all = await (read[pack] ??= unpacked(packs[pack]));
      const first = all.counts.slice(0, at).reduce((a, b) => a + b, 0);
      const exchanges = [];
      for (let n = first; n < first + all.counts[at]; n++)
        exchanges.push({ request: all.request[n], head: all.head[n], body: all.body[n], size: all.size[n], cut: all.cut[n] });
      return { exchanges, broken: all.broken[at] };
    };

    // One sample.
    const pieces = (texts) => texts.map((text, i) => (i % 2 ? el("mark", {}, text) : text));
    const channels = (rows) =>
      el("dl", {}, rows.map(([name, texts]) => [el("dt", {}, name), el("dd", { class: "text" }, texts)]));
    const copier = (label, text) =>
      el("button", { type: "button", class: "copy", onclick: (event) => copy(event.target, text) }, label);
    const copy = async (button, text) => {
      const label = button.textContent;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        const area = el("textarea", { class: "offscreen", "aria-hidden": "true" });
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
      }
      button.textContent = "copied";
      setTimeout(() => (button.textContent = label), 1200);
    };
    const block = (title, text, ...buttons) => [
      el("p", { class: "soft block" }, title, buttons),
      el("pre", { tabindex: "0", "aria-label": title }, text),
    ];
    const raw = (sample) => {
      const inside = el("div");
      const fill = async () => {
        if (inside.childNodes.length) return;
        const found = await wire(sample);
        found.exchanges.forEach((each, n) => {
          const which = found.exchanges.length > 1 ? ` ${n + 1} of ${found.exchanges.length}` : "";
          const curl = `${data.curl}'${each.request}'`;
          inside.append(
            ...block(`request${which}`, each.request, copier("copy JSON", each.request), copier("copy as curl", curl)),
            ...block(`curl${which}`, curl),
            ...block(
              `response${which}, ${each.size} bytes` + (each.cut ? `, of which ${each.cut} are not shown` : ""),
              `${each.head}\n\n${each.body}`,
            ),
          );
        });
        for (const each of found.broken) inside.append(...block(`broken attempt at ${each.cause}`, each.body));
      };
      return el(
        "details",
        { class: "raw", ontoggle: (event) => event.target.open && fill() },
        el("summary", {}, "request, curl and raw response"),
        inside,
      );
    };
    const judged = (sample) =>
      Object.entries(sample.gates ?? {})
        .filter(([, outcome]) => outcome !== "pass")
        .map(([gate, outcome]) => `${outcome === "miss" ? "missed" : "broke"} ${data.gates[gate]}`)
        .join(", ") || (sample.outcome === "pass" ? `passed ${Object.keys(sample.gates).length} gates` : sample.outcome);
    const card = (sample) => {
      const replies = sample.replies ?? [];
      const then = sample.then ?? [];
      return el(
        "article",
        { class: `sample ${sample.outcome}`, id: `sample-${sample.key}`, tabindex: "-1" },
        el(
          "h3",
          {},
          el("a", { href: `#sample=${encodeURIComponent(sample.key)}`, title: "link to this sample" }, sample.variant || sample.key),
          " ",
          el("span", { class: "outcome" }, judged(sample)),
          (sample.changes ?? []).map((change) => el("span", { class: "change" }, change)),
        ),
        sample.error && el("p", {}, sample.error),
        (sample.findings ?? []).map(([, detector, reason, channel, excerpt]) =>
          el("p", {}, el("b", {}, detector), `: ${reason}${channel ? ` in ${channel}` : ""} `, excerpt && el("code", {}, excerpt)),
        ),
        Array.from({ length: Math.max(replies.length, then.length) }, (_, n) => {
          const reply = replies[n] ?? { asked: [], told: [] };
          const asked = n ? channels(reply.asked.map(([who, text]) => [who, [text]])) : "";
          return [asked, then.length ? compared(then[n] ?? [], reply.told) : channels(reply.told.map(([name, texts]) => [name, pieces(texts)]))];
        }),
        sample.place && raw(sample),
      );
    };

    // Two answers side by side, with the words that differ.
    const words = (texts) =>
      texts.flatMap((text, i) => (text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? []).map((word) => ({ word, marked: i % 2 })));
    const differ = (a, b) => {
      // Longest common subsequence; what is too long for it counts as changed whole.
      if (a.length * b.length > 4e6) return [a, b].map((side) => side.forEach((one) => (one.changed = true)));
      const width = b.length + 1;
      const best = new Uint16Array((a.length + 1) * width);
      for (let i = a.length - 1; i >= 0; i--)
        for (let j = b.length - 1; j >= 0; j--)
          best[i * width + j] =
            a[i].word === b[j].word ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
      let i = 0;
      let j = 0;
      while (i < a.length || j < b.length)
        if (i < a.length && j < b.length && a[i].word === b[j].word) i++, j++;
        else if (j >= b.length || (i < a.length && best[(i + 1) * width + j] >= best[i * width + j + 1])) a[i++].changed = true;
        else b[j++].changed = true;
    };
    const runs = (side, tag) => {
      const out = [];
      for (const one of side) {
        const last = out.at(-1);
        if (last && last.marked === one.marked && last.changed === one.changed) last.text += one.word;
        else out.push({ ...one, text: one.word });
      }
      return out.map(({ text, marked, changed }) => {
        const inner = marked ? el("mark", {}, text) : text;
        return changed ? el(tag, {}, inner) : inner;
      });
    };
    const compared = (then, now) => {
      const names = [...new Set([...then, ...now].map(([name]) => name))];
      const sides = [[], []];
      for (const name of names) {
        const [a, b] = [then, now].map((told) => words((told.find(([its]) => its === name) ?? [name, []])[1]));
        if (name !== "usage") differ(a, b);
        sides[0].push([name, runs(a, "del")]);
        sides[1].push([name, runs(b, "ins")]);
      }
      return el("div", { class: "pair" }, ["then", "now"].map((title, i) => el("div", {}, el("h4", {}, title), channels(sides[i]))));
    };

    // One scenario: what was asked and expected once, then its samples: streamed beside unstreamed, repeats below.
    const body = (group) => {
      const asked = group.samples.flatMap((sample) => (sample.replies ?? []).slice(0, 1)).map((reply) => reply.asked)[0] ?? [];
      const rows = new Map();
      for (const sample of group.samples) {
        const row = sample.variant ? sample.variant.replace(/^(un)?stream(ed)?/, "") : sample.key;
        if (!rows.has(row)) rows.set(row, []);
        rows.get(row).push(sample);
      }
      return [
        el("dl", {}, asked.map(([who, text]) => [el("dt", {}, who), el("dd", { class: "text" }, text)]),
          (group.expected ?? []).map((line) => [el("dt", {}, "expected"), el("dd", { class: "text" }, line)])),
        [...rows.values()].map((row) =>
          el("div", { class: row.length > 1 && !row.some((sample) => sample.then) ? "pair" : "" }, row.map(card))),
      ];
    };
    const headline = (group) => {
      const asked = group.samples.find((sample) => sample.replies)?.replies[0].asked ?? [];
      const question = asked.filter(([who]) => who === "user").at(-1)?.[1] ?? "";
      const counts = {};
      for (const sample of group.samples) counts[sample.outcome] = (counts[sample.outcome] ?? 0) + 1;
      const worst = ["broke", "miss", "not judged", "pass"].find((outcome) => counts[outcome]);
      const told = { broke: "broke", miss: "missed", pass: "passed", "not judged": "not judged" };
      const of = group.samples.length;
      const change = ["worse", "better", "other words"].find((what) => group.samples.some((sample) => sample.changes?.includes(what)));
      return [
        el("span", { class: `outcome ${worst}` }, of > 1 ? `${counts[worst]} of ${of} ${told[worst]}` : told[worst]),
        change && el("span", { class: "change" }, change),
        el("b", {}, group.id),
        el("span", { class: "soft question" }, question),
      ];
    };

    // The list.
    const list = document.getElementById("list");
    const count = document.getElementById("count");
    const form = document.getElementById("filters");
    const chosen = { q: "" };
    let shown = [];
    let drawn = 0;
    const open = (details) => {
      if (details.dataset.filled) return;
      details.dataset.filled = "yes";
      details.append(el("div", {}, body(details.group)));
    };
    const more = el("button", { type: "button", id: "more", onclick: () => draw() }, "show more");
    new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && draw()).observe(more);
    const draw = (upTo = drawn + STEP) => {
      const next = shown.slice(drawn, upTo).map((group) => {
        const details = el("details", { class: "group", ontoggle: (event) => event.target.open && open(event.target) }, el("summary", {}, headline(group)));
        details.group = group;
        return details;
      });
      list.append(...next);
      drawn += next.length;
      if (drawn < shown.length) list.after(more);
      else more.remove();
    };
    const text = (sample) =>
      (sample.text ??= [
        sample.key, sample.group.category, sample.error, sample.group.expected,
        (sample.findings ?? []).map((finding) => finding.slice(1)),
        (sample.replies ?? []).map((reply) => [reply.asked.map((each) => each[1]), reply.told.map((each) => each[1].join(""))]),
        (sample.then ?? []).map((told) => told.map((each) => each[1].join(""))),
      ].flat(Infinity).join("\n").toLowerCase());
    const filter = () => {
      const asked = chosen.q.toLowerCase().split(/\s+/).filter(Boolean);
      let samples = 0;
      shown = data.groups.filter((group) => {
        const fits = group.samples.filter(
          (sample) =>
            Object.entries(FILTERS).every(([name, of]) => !chosen[name] || of(sample, group, data).includes(chosen[name])) &&
            asked.every((word) => text(sample).includes(word)),
        );
        samples += fits.length;
        return fits.length;
      });
      list.replaceChildren();
      drawn = 0;
      draw();
      const scenarios = shown.length === 1 ? "1 scenario" : `${shown.length.toLocaleString("en")} scenarios`;
      count.textContent = `${samples.toLocaleString("en")} of ${byKey.size.toLocaleString("en")} samples, in ${scenarios}`;
    };
    const remember = (sample) => {
      const state = new URLSearchParams(Object.entries({ ...chosen, sample }).filter(([, value]) => value));
      const hash = `#${state}`;
      if (location.hash !== hash) history.replaceState(null, "", hash === "#" ? location.pathname + location.search : hash);
    };
    const reveal = (key) => {
      const sample = byKey.get(key);
      if (!sample) return;
      let place = shown.indexOf(sample.group);
      if (place < 0) {
        for (const name of Object.keys(chosen)) chosen[name] = "";
        fill();
        filter();
        place = shown.indexOf(sample.group);
      }
      if (place >= drawn) draw(place + 1);
      const details = list.children[place];
      open(details);
      details.open = true;
      const found = document.getElementById(`sample-${key}`);
      // Again when the browser has laid out what it had skipped above: until then its heights are guesses.
      const scroll = () => found.scrollIntoView({ block: "start" });
      scroll();
      requestAnimationFrame(() => requestAnimationFrame(scroll));
      found.focus({ preventScroll: true });
    };
    const fill = () => {
      for (const control of form.elements) if (control.name) control.value = chosen[control.name] ?? "";
    };
    const obey = () => {
      const state = new URLSearchParams(location.hash.slice(1));
      for (const name of ["q", ...Object.keys(FILTERS)]) chosen[name] = state.get(name) ?? "";
      fill();
      filter();
      reveal(state.get("sample"));
    };
    const changed = () => {
      for (const control of form.elements) if (control.name) chosen[control.name] = control.value;
      filter();
      remember();
    };

    const search = el("input", { type: "search", name: "q", placeholder: "text of prompts and answers", "aria-label": "search", oninput: () => { clearTimeout(search.wait); search.wait = setTimeout(changed, 150); } });
    form.append(search);
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const [name, of] of Object.entries(FILTERS)) {
      const counts = new Map();
      for (const sample of byKey.values())
        for (const value of new Set(of(sample, sample.group, data))) counts.set(value, (counts.get(value) ?? 0) + 1);
      if (!counts.size) continue;
      const options = [...counts].map(([value, n]) => el("option", { value }, `${value} (${n.toLocaleString("en")})`));
      form.append(el("select", { name, "aria-label": name, onchange: changed }, el("option", { value: "" }, `any ${name}`), options));
    }
    form.append(el("button", { type: "button", onclick: () => clear() }, "clear"));
    const clear = () => { for (const name of Object.keys(chosen)) chosen[name] = ""; fill(); filter(); remember(); };

    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const typing = event.target.matches("input, select, textarea");
      if (event.key === "Escape") { clear(); event.target.blur(); }
      else if (typing) return;
      else if (event.key === "/") { event.preventDefault(); search.focus(); }
      else if (event.key === "j" || event.key === "k") {
        const all = [...list.querySelectorAll("details.group > summary")];
        const at = all.findIndex((one) => one.parentElement.contains(document.activeElement));
        const next = all[Math.max(0, at + (event.key === "j" ? 1 : at < 0 ? 1 : -1))];
        if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
      }
    });
    list.addEventListener("click", (event) => {
      const link = event.target.closest("a[href^='#sample=']");
      if (!link) return;
      event.preventDefault();
      remember(new URLSearchParams(link.hash.slice(1)).get("sample"));
    });
    window.addEventListener("hashchange", obey);
    document.getElementById("samples").hidden = false;
    document.documentElement.classList.add("browsed");
    if (data.groups.some((group) => group.samples.some((sample) => sample.then))) document.documentElement.classList.add("compares");
    obey();
    if (!location.hash) for (const details of [...list.children].slice(0, 3)) if (details.group.rank < 9) details.open = true;
    document.documentElement.dataset.ready = String(Math.round(performance.now())); // milliseconds since it was opened
  };
  unpacked(stored).then(start);
})();
