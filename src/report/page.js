'use strict';
// Progressive: the page is complete without this. Everything is read from the drawings and from the embedded JSON.
const data = JSON.parse(document.getElementById('data').textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const hidden = new Set();

// Arms: a click hides, shift or double click shows one alone, hovering fades the others.
const chips = all('.chip');
function show() {
  chips.forEach(chip => chip.setAttribute('aria-pressed', String(!hidden.has(chip.dataset.arm))));
  all('.arm').forEach(shape => shape.classList.toggle('hidden', hidden.has(shape.dataset.arm)));
}
function alone(arm) {
  const others = chips.map(chip => chip.dataset.arm).filter(other => other !== arm);
  const already = !hidden.has(arm) && others.every(other => hidden.has(other));
  hidden.clear();
  if (!already) others.forEach(other => hidden.add(other));
  show();
}
for (const chip of chips) {
  const arm = chip.dataset.arm;
  chip.addEventListener('click', event => {
    if (event.shiftKey) return alone(arm);
    if (!hidden.delete(arm)) hidden.add(arm);
    show();
  });
  chip.addEventListener('dblclick', () => alone(arm));
  chip.addEventListener('mouseenter', () => all('.arm').forEach(s => s.classList.toggle('faded', s.dataset.arm !== arm)));
  chip.addEventListener('mouseleave', () => all('.arm').forEach(s => s.classList.remove('faded')));
}

// Smoothing: an exponential moving average of pixels is one of values, since axes are linear.
const points = shape => (shape.dataset.points ||= shape.getAttribute('points'))
  .split(' ').map(point => point.split(',').map(Number));
const write = (shape, list) => shape.setAttribute('points', list.map(p => p[0].toFixed(2) + ',' + p[1].toFixed(2)).join(' '));
function average(list, weight, state) {
  return list.map(([x, y]) => {
    state.y = state.y === undefined ? y : weight * state.y + (1 - weight) * y;
    return [x, state.y];
  });
}
const slider = document.getElementById('smooth');
if (slider) slider.addEventListener('input', () => {
  const weight = Number(slider.value);
  slider.nextElementSibling.textContent = weight ? weight.toFixed(2) : 'off';
  for (const drawing of all('figure > svg')) {
    const states = {};
    for (const curve of all('.curve', drawing)) {
      const state = states[curve.dataset.arm + '/' + curve.dataset.panel] ||= {};
      write(curve, average(points(curve), weight, state));
    }
    for (const band of all('.band', drawing)) {
      const list = points(band), half = list.length / 2;
      const upper = average(list.slice(0, half), weight, {});
      const lower = average(list.slice(half).reverse(), weight, {}).reverse();
      write(band, upper.concat(lower));
    }
  }
});

// Values under the pointer.
const tip = document.body.appendChild(Object.assign(document.createElement('div'), { id: 'tip' }));
const line = (text, value, color) => {
  const row = document.createElement('div');
  row.textContent = text;
  if (color) row.style.color = color;
  if (value !== undefined) row.appendChild(document.createElement('span')).textContent = value;
  return row;
};
for (const drawing of all('figure > svg')) {
  const guide = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  guide.setAttribute('stroke', '#A3A9B0');
  guide.setAttribute('stroke-dasharray', '2 2');
  drawing.appendChild(guide);
  all('.panel', drawing).forEach((panel, index) => {
    const [x0, x1, y0, y1] = panel.dataset.map.split(' ').map(Number);
    const [left, top, width, height] = ['x', 'y', 'width', 'height'].map(name => Number(panel.getAttribute(name)));
    const curves = all('.curve[data-panel="' + index + '"]', drawing);
    panel.addEventListener('mousemove', event => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse()).x;
      const shown = curves.filter(curve => !hidden.has(curve.dataset.arm));
      const xs = shown.flatMap(curve => points(curve).map(point => point[0]));
      if (!xs.length) return;
      const x = xs.reduce((best, other) => Math.abs(other - at) < Math.abs(best - at) ? other : best);
      const rows = new Map();
      for (const curve of shown) {
        const point = points(curve).find(point => Math.abs(point[0] - x) < 0.02);
        if (point) rows.set(curve.dataset.arm, y0 + (top + height - point[1]) / height * (y1 - y0));
      }
      const step = Math.round(x0 + (x - left) / width * (x1 - x0));
      const head = document.createElement('b');
      head.textContent = panel.dataset.title + ', ' + panel.dataset.step + ' ' + step;
      tip.replaceChildren(head, ...[...rows].sort((a, b) => b[1] - a[1]).map(([arm, value]) =>
        line(data.arms[arm].label, value.toFixed(panel.dataset.decimals) + (panel.dataset.unit === '%' ? '%' : ''), data.arms[arm].ink)));
      tip.style.display = 'block';
      const right = event.clientX + 18 + tip.offsetWidth > innerWidth;
      tip.style.left = (right ? event.clientX - 18 - tip.offsetWidth : event.clientX + 18) + 'px';
      tip.style.top = Math.max(4, Math.min(event.clientY - 20, innerHeight - tip.offsetHeight - 4)) + 'px';
      for (const [name, value] of [['x1', x], ['x2', x], ['y1', top], ['y2', top + height]]) guide.setAttribute(name, value);
      guide.style.display = '';
    });
    panel.addEventListener('mouseleave', () => { tip.style.display = guide.style.display = 'none'; });
  });
}

// Tables, built when opened.
for (const details of all('details[data-table]')) {
  details.addEventListener('toggle', () => {
    if (!details.open || details.children.length > 1) return;
    const { columns, rows, csv } = data.tables[details.dataset.table];
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
    const scroll = Object.assign(document.createElement('div'), { className: 'scroll' });
    scroll.append(table);
    details.append(link, scroll);
  });
}
