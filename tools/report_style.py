"""The report's style sheet and its few lines of script."""

STYLE = """
:root { color-scheme: light dark; --page: #fbfaf7; --card: #ffffff; --ink: #1d2430; --soft: #636c7a; --line: #e3e0d8;
  --accent: #1f5fbf; --well: #f2f0ea; }
@media (prefers-color-scheme: dark) { :root { --page: #12151b; --card: #1a1f27; --ink: #e7e9ee; --soft: #9aa4b3;
  --line: #2d3440; --accent: #78aaf7; --well: #11141a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 18px 64px; }
h1 { font-size: 1.15rem; font-weight: 600; margin: 0; color: var(--soft); overflow-wrap: anywhere; }
h2 { font-size: 1.12rem; margin: 44px 0 12px; }
p { margin: 8px 0; max-width: 72ch; }
.headline { font-size: clamp(2.2rem, 8vw, 3.6rem); line-height: 1.1; font-weight: 700; letter-spacing: -0.02em;
  margin: 6px 0 4px; font-variant-numeric: tabular-nums; }
.soft, figcaption, .axis { color: var(--soft); }
figcaption { font-size: 0.88rem; margin-top: 6px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; margin: 18px 0 0; }
.figures div, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.figures dt { color: var(--soft); font-size: 0.85rem; }
.figures dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.grid { display: grid; gap: 16px; margin-top: 14px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); }
.lead { grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
figure { margin: 0; }
img, video { display: block; max-width: 100%; height: auto; border-radius: 6px; }
video { width: 100%; background: var(--well); }
.card > img { width: 100%; }
.compare { position: relative; --cut: 50%; border-radius: 6px; overflow: hidden; touch-action: pan-y; }
.compare img { width: 100%; border-radius: 0; }
.compare .over { position: absolute; inset: 0; clip-path: inset(0 0 0 var(--cut)); }
.compare .bar { position: absolute; top: 0; bottom: 0; left: var(--cut); width: 3px; margin-left: -1.5px;
  background: #fff; box-shadow: 0 0 4px rgba(0, 0, 0, 0.6); pointer-events: none; }
.compare .bar::after { content: "\\2039\\a0\\203a"; position: absolute; top: 50%; left: 50%; width: 34px; height: 34px;
  margin: -17px; border-radius: 50%; background: #fff; color: #222; font: 700 18px/31px system-ui, sans-serif;
  text-align: center; box-shadow: 0 1px 5px rgba(0, 0, 0, 0.45); }
.compare input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize;
  touch-action: pan-y; }
.compare:focus-within { outline: 3px solid var(--accent); outline-offset: 2px; }
.chip { position: absolute; bottom: 8px; padding: 1px 8px; border-radius: 99px; background: rgba(20, 24, 32, 0.72);
  color: #fff; font-size: 0.78rem; pointer-events: none; }
.chip.left { left: 8px; } .chip.right { right: 8px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 0.93rem; }
th, td { text-align: left; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; }
td.picture { padding-right: 6px; min-width: 76px; width: 18%; }
td.picture img { width: 100%; max-width: 160px; }
td.number { white-space: nowrap; }
tr.mean td { font-weight: 700; }
.facts th { width: 12em; white-space: normal; }
.chart { width: 100%; height: auto; display: block; }
.chart .rule { stroke: var(--line); stroke-width: 1; }
.chart .curve { fill: none; stroke: var(--accent); stroke-width: 2.5; stroke-linejoin: round; }
.chart .dot { fill: var(--card); stroke: var(--accent); stroke-width: 2.5; }
.chart text { fill: var(--soft); font-size: 14px; }
pre { background: var(--well); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; overflow-x: auto;
  font: 0.86rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; margin: 8px 0; }
details summary { cursor: pointer; color: var(--accent); margin: 8px 0; }
ul { padding-left: 1.2em; margin: 8px 0; } li { overflow-wrap: anywhere; }
footer { margin-top: 56px; color: var(--soft); font-size: 0.85rem; }
"""

SCRIPT = """
for (const box of document.querySelectorAll('.compare')) {
  const slider = box.querySelector('input');
  slider.addEventListener('input', () => box.style.setProperty('--cut', slider.value + '%'));
}
"""
