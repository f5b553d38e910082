"""How the page looks: one style sheet, light and dark, no fonts or files from elsewhere."""

from __future__ import annotations

CSS = """
:root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--ink:#12161d;--soft:#5b6472;
--faint:#8b94a1;
--grid:#e7eaee;--axis:#b9c0ca;--main:#2563c9;--main2:#8fb4ee;--main3:#d3e2f8;--best:#0b8f7a;
--limit:#b45309;--bad:#c42b2b;--good:#17803d;--held:#fbe9d0;--badbg:#fdecec;--goodbg:#e8f6ed}
@media (prefers-color-scheme:dark){:root{--page:#0d1014;--card:#151a21;--ink:#e6eaf0;
--soft:#9aa5b4;
--faint:#6d7887;--grid:#232a33;--axis:#444e5b;--main:#6aa5ff;--main2:#3f6db3;--main3:#26405f;
--best:#34d3b5;--limit:#f0a64a;--bad:#ff7b72;--good:#56d364;--held:#3a2a14;--badbg:#3a1719;
--goodbg:#12301d}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,
"Segoe UI",
Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1080px;margin:0 auto;padding:36px 24px 64px}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:6px 14px;margin-bottom:4px}
h1{font-size:26px;line-height:1.2;letter-spacing:-.02em;margin:0}
h2{font-size:15px;margin:0 0 2px;letter-spacing:-.005em}
p{margin:0}.facts{color:var(--soft);margin-bottom:22px}
.note{color:var(--soft);font-size:13px;margin:0 0 12px}
.badge{font-size:13px;font-weight:600;border-radius:99px;padding:3px 12px}
.badge.good{color:var(--good);background:var(--goodbg)}.badge.bad{color:var(--bad);
background:var(--badbg)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(158px,1fr));gap:12px;
margin-bottom:16px}
.tile,section{background:var(--card);border:1px solid var(--grid);border-radius:12px}
.tile{padding:13px 16px 12px}.tile .what{color:var(--soft);font-size:13px}
.tile .much{font-size:25px;font-weight:600;letter-spacing:-.02em;line-height:1.35;
white-space:nowrap}
.tile .much small{font-size:14px;font-weight:500;color:var(--soft);letter-spacing:0;
margin-left:4px}
.tile .against{font-size:13px;color:var(--soft)}.tile.bad .much{color:var(--bad)}
section{padding:18px 20px 16px;margin-bottom:16px;overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:14px;min-width:640px}
th{font-weight:500;color:var(--soft);font-size:13px;text-align:right;padding:4px 0 6px 14px}
td{padding:5px 0 5px 14px;text-align:right;border-top:1px solid var(--grid);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}td.part{padding-left:18px!important;
color:var(--soft)}
td.bar{width:44%;padding-left:16px}td.kept{color:var(--good)}td.missed{color:var(--bad);
font-weight:600}
td.words{text-align:left;white-space:normal;color:var(--soft)}
tr.group td{font-weight:600;border-top:0;padding-top:16px}tr.group:first-child td{padding-top:2px}
svg{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,
Arial,sans-serif;
font-variant-numeric:tabular-nums}
.grid{stroke:var(--grid)}.axis{stroke:var(--axis)}.bar{fill:var(--main)}
.mid{fill:var(--main2)}.far{fill:var(--main3)}.track{fill:var(--grid)}
.best{fill:none;stroke:var(--best);stroke-width:2}.strip{fill:none;stroke:var(--main);
stroke-width:1.3;
stroke-linejoin:round}.held{fill:var(--held)}.missed{fill:var(--bad)}text{fill:var(--soft);paint-order:stroke;stroke:var(--card);
stroke-width:3px}svg.wide{min-width:600px}text.mark{text-anchor:middle}
text.side{text-anchor:end}line.rule{stroke:var(--axis);stroke-dasharray:3 3}
line.limit{stroke:var(--limit);stroke-width:1.5;stroke-dasharray:6 4}text.limit{fill:var(--limit);
font-weight:600}
line.worst{stroke:var(--bad);stroke-width:1.5}text.worst{fill:var(--bad);font-weight:600}
.key{display:inline-block;width:11px;height:11px;border-radius:3px;margin:0 6px 0 14px;
vertical-align:-1px}
.key:first-child{margin-left:0}.key.k1{background:var(--main)}.key.k2{background:var(--main2)}
.key.k3{background:var(--main3)}.key.kb{background:none;border-bottom:2px solid var(--best);
border-radius:0;height:5px;
vertical-align:3px;width:16px}.key.kh{background:var(--held);outline:1px solid var(--axis)}
.key.km{background:var(--bad)}
.key.kl{background:none;border-left:2px dashed var(--limit);border-radius:0;width:3px}
.pair{display:flex;justify-content:space-between;flex-wrap:wrap;gap:0 24px}
.strip-title{font-size:13px;color:var(--soft);margin-top:8px}
.say{font-size:15px;margin:0 0 12px}ul{margin:8px 0 0;padding-left:20px;color:var(--soft);
font-size:14px}
footer{color:var(--faint);font-size:13px;margin-top:20px}
@media (max-width:640px){main{padding:22px 12px 40px}section{padding:14px 12px}}
"""
