'use strict';
// Progressive: the page is complete without this. Everything is read from the drawings and from the embedded JSON.
const data = JSON.parse(document.getElementById('data').textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const hidden = new Set();

// Arms: a click hides, shift or double click shows one alone, hovering or focusing fades the others.
const chips = all('.chip');
function show() {
  chips.forEach(chip => chip.setAttribute('aria-pressed', String(!hidden.has(chip.dataset.arm))));
  all('.arm').forEach(shape => shape.classList.toggle('hidden', hidden.has(shape.dataset.arm)));
  redraw();
}
function alone(arm) {
  const others = chips.map(chip => chip.dataset.arm).filter(other => other !== arm);
  const already = !hidden.has(arm) && others.every(other => hidden.has(other));
  hidden.clear();
  if (!already) others.forEach(other => hidden.add(other));
  show();
}
const own = shape => shape.dataset.arm < 1000; // imported runs have no chips
for (const chip of chips) {
  const arm = chip.dataset.arm;
  const fade = () => all('.arm').forEach(s => s.classList.toggle('faded', own(s) && s.dataset.arm !== arm));
  const clear = () => all('.arm').forEach(s => s.classList.remove('faded'));
  chip.addEventListener('click', event => {
    if (event.shiftKey) return alone(arm);
    if (!hidden.delete(arm)) hidden.add(arm);
    show();
  });
  chip.addEventListener('dblclick', () => alone(arm));
  chip.addEventListener('mouseenter', fade);
  chip.addEventListener('mouseleave', clear);
  chip.addEventListener('focus', () => chip.matches(':focus-visible') && fade());
  chip.addEventListener('blur', clear);
}

// Drawings with curves: their panels, and each shape's points as they were drawn.
const parse = shape => shape.getAttribute('points').split(' ').map(point => point.split(',').map(Number));
const drawings = all('figure > svg').map(drawing => {
  const panels = all('.panel', drawing).map(panel => {
    const [x0, x1, y0, y1] = panel.dataset.map.split(' ').map(Number);
    const [left, top, width, height] = ['x', 'y', 'width', 'height'].map(name => Number(panel.getAttribute(name)));
    const step = x => x0 + (x - left) / width * (x1 - x0);
    const value = y => y0 + (top + height - y) / height * (y1 - y0);
    return { panel, left, top, width, height, step, value };
  });
  const shapes = all('.curve, .band', drawing).map(shape => ({
    shape, arm: shape.dataset.arm, panel: panels[shape.dataset.panel], band: shape.classList.contains('band'), drawn: parse(shape),
  }));
  const ticks = all('.tick', drawing).map(tick => ({ tick, panel: panels[tick.dataset.panel], x: Number(tick.getAttribute('x')), text: tick.textContent }));
  return { drawing, panels, shapes, ticks, names: all('.axis-name', drawing) };
}).filter(d => d.shapes.length);

// Smoothing: an exponential moving average of pixels is one of values, since axes are linear.
function average(list, weight, state) {
  return list.map(([x, y]) => {
    state.y = state.y === undefined ? y : weight * state.y + (1 - weight) * y;
    return [x, state.y];
  });
}
// Response tokens sampled up to a step, in between by interpolation.
function tokensAt(tokens, step) {
  let before = [0, 0];
  for (const point of tokens) {
    if (point[0] >= step) return point[0] === before[0] ? point[1] : before[1] + (step - before[0]) / (point[0] - before[0]) * (point[1] - before[1]);
    before = point;
  }
  return before[1];
}
const short = n => n >= 1e9 ? +(n / 1e9).toPrecision(2) + 'B' : n >= 1e6 ? +(n / 1e6).toPrecision(2) + 'M' : n >= 1e3 ? +(n / 1e3).toPrecision(2) + 'k' : String(+n.toPrecision(2));
const slider = document.getElementById('smooth'), bands = document.getElementById('bands'), axis = document.getElementById('axis');
function redraw() {
  if (!slider) return;
  const weight = Number(slider.value);
  slider.nextElementSibling.textContent = weight ? weight.toFixed(2) : 'off';
  for (const d of drawings) {
    const tokensOf = arm => (data.arms[arm] || {}).tokens || [];
    const shown = d.shapes.filter(s => !hidden.has(s.arm));
    d.most = Math.max(0, ...shown.map(s => (tokensOf(s.arm).at(-1) || [0, 0])[1]));
    d.tokens = axis.value === 'tokens' && d.most > 0 && shown.every(s => tokensOf(s.arm).length);
    const place = (s, list) => d.tokens
      ? list.map(([x, y]) => [s.panel.left + tokensAt(tokensOf(s.arm), s.panel.step(x)) / d.most * s.panel.width, y]) : list;
    const states = {};
    for (const s of d.shapes) {
      const half = s.drawn.length / 2;
      s.now = s.band
        ? average(s.drawn.slice(0, half), weight, {}).concat(average(s.drawn.slice(half).reverse(), weight, {}).reverse())
        : average(s.drawn, weight, states[s.arm + '/' + s.panel.panel.dataset.map + s.panel.left + ',' + s.panel.top] ||= {});
      s.now = place(s, s.now);
      s.shape.setAttribute('points', s.now.map(p => p[0].toFixed(2) + ',' + p[1].toFixed(2)).join(' '));
      if (s.band) s.shape.style.display = bands.checked ? '' : 'none';
    }
    d.ticks.forEach(t => { t.tick.textContent = d.tokens ? short((t.x - t.panel.left) / t.panel.width * d.most) : t.text; });
    d.names.forEach(name => { name.textContent = d.tokens ? 'tokens sampled in RL' : 'RL step'; });
  }
}
if (slider) {
  slider.addEventListener('input', redraw);
  bands.addEventListener('change', redraw);
  axis.addEventListener('change', redraw);
}
redraw();

// Values under the pointer, or at the step that the arrow keys have reached.
const tip = document.body.appendChild(Object.assign(document.createElement('div'), { id: 'tip' }));
tip.setAttribute('role', 'status');
const line = (text, value, color) => {
  const row = document.createElement('div');
  row.textContent = text;
  if (color) row.style.color = color;
  if (value !== undefined) row.appendChild(document.createElement('span')).textContent = value;
  return row;
};
for (const d of drawings) {
  const guide = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  guide.setAttribute('stroke', '#A3A9B0');
  guide.setAttribute('stroke-dasharray', '2 2');
  d.drawing.appendChild(guide);
  const screen = (x, y) => new DOMPoint(x, y).matrixTransform(d.drawing.getScreenCTM());
  for (const p of d.panels) {
    const curves = () => d.shapes.filter(s => !s.band && s.panel === p && !hidden.has(s.arm));
    const steps = () => [...new Set(curves().flatMap(s => s.drawn.map(point => point[0])))].sort((a, b) => a - b);
    // Near `at`, in the drawing's own coordinates.
    function tell(at, clientX, clientY) {
      const rows = new Map();
      let x;
      if (d.tokens) {
        x = at;
        for (const s of curves()) for (const [px, py] of s.now) {
          const best = rows.get(s.arm);
          if (!best || Math.abs(px - at) < best[0]) rows.set(s.arm, [Math.abs(px - at), p.value(py)]);
        }
      } else {
        const xs = steps();
        if (!xs.length) return;
        x = xs.reduce((best, other) => Math.abs(other - at) < Math.abs(best - at) ? other : best);
        for (const s of curves()) {
          const index = s.drawn.findIndex(point => Math.abs(point[0] - x) < 0.02);
          if (index >= 0) rows.set(s.arm, [0, p.value(s.now[index][1])]);
        }
      }
      const head = document.createElement('b');
      head.textContent = p.panel.dataset.title + ', ' + (d.tokens
        ? short((x - p.left) / p.width * d.most) + ' tokens' : p.panel.dataset.step + ' ' + Math.round(p.step(x)));
      const { decimals, unit } = p.panel.dataset;
      tip.replaceChildren(head, ...[...rows].sort((a, b) => b[1][1] - a[1][1]).map(([arm, [, value]]) =>
        line(data.arms[arm].label, value.toFixed(decimals) + (unit === '%' ? '%' : ''), data.arms[arm].ink)));
      tip.style.display = 'block';
      const right = clientX + 18 + tip.offsetWidth > innerWidth;
      tip.style.left = Math.max(4, right ? clientX - 18 - tip.offsetWidth : clientX + 18) + 'px';
      tip.style.top = Math.max(4, Math.min(clientY - 20, innerHeight - tip.offsetHeight - 4)) + 'px';
      for (const [name, value] of [['x1', x], ['x2', x], ['y1', p.top], ['y2', p.top + p.height]]) guide.setAttribute(name, value);
      guide.style.display = '';
    }
    const leave = () => { tip.style.display = guide.style.display = 'none'; };
    p.panel.addEventListener('mousemove', event => {
      tell(new DOMPoint(event.clientX, event.clientY).matrixTransform(d.drawing.getScreenCTM().inverse()).x, event.clientX, event.clientY);
    });
    p.panel.addEventListener('mouseleave', leave);
    p.panel.setAttribute('tabindex', '0');
    p.panel.setAttribute('role', 'img');
    p.panel.setAttribute('aria-label', p.panel.dataset.title + ': arrow keys read values');
    let at = 0;
    p.panel.addEventListener('keydown', event => {
      const xs = steps();
      const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: xs.length - 1 };
      if (event.key === 'Escape') return leave();
      if (!(event.key in moves) || !xs.length) return;
      event.preventDefault();
      at = Math.max(0, Math.min(xs.length - 1, moves[event.key]));
      const x = d.tokens ? p.left + (xs[at] - p.left) : xs[at];
      const point = screen(x, p.top + 10);
      tell(x, point.x, point.y);
    });
    p.panel.addEventListener('blur', leave);
  }
}

// Tables, built when opened.
for (const details of all('details[data-table]')) {
  details.addEventListener('toggle', () => {
    if (!details.open || details.children.length > 1) return;
    const { columns, csv, rows: packed } = data.tables[details.dataset.table];
    const rows = []; // 0 stands for the cell above
    packed.forEach((row, r) => rows.push(row.map((cell, c) => cell === 0 ? rows[r - 1][c] : cell)));
    const quote = cell => /^[=+\-@\t\r]/.test(cell) && isNaN(cell) ? quote("'" + cell) : /[",\n]/.test(cell) ? '"' + cell.replaceAll('"', '""') + '"' : cell;
    const text = [columns, ...rows].map(row => row.map(quote).join(',')).join('\n') + '\n';
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
    link.download = data.experiment + '-' + data.lab + '-' + csv;
    link.textContent = 'Download ' + csv;
    const table = document.createElement('table');
    for (const [row, tag] of [[columns, 'th'], ...rows.map(row => [row, 'td'])]) {
      const line = table.insertRow();
      row.forEach(cell => { line.appendChild(document.createElement(tag)).textContent = cell; });
    }
    const scroll = Object.assign(document.createElement('div'), { className: 'scroll', tabIndex: 0 });
    scroll.append(table);
    details.append(link, scroll);
  });
}
