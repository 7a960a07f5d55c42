# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The style of the page: light, dark and on paper; nothing is fetched."""

# Of the lines: Okabe and Ito's hues, made dark enough for white and light enough for black.
_LIGHT = (
    '#0063a3', '#c04f00', '#00795a', '#a3447b', '#8a6100', '#5b45b0', '#1c1c1c', '#6b6b6b',
    '#2b7fb5', '#8c2355', '#1f7f72', '#6f6f12',
)  # fmt: skip
_DARK = (
    '#4db2f0', '#ff9152', '#3ecba0', '#e597c4', '#e5b13f', '#b0a2ff', '#f2f2f2', '#a6a6a6',
    '#8fd0f5', '#e97fae', '#62cfc0', '#cfcf57',
)  # fmt: skip
COLORS = len(_LIGHT)
_DASHES = ('none', '6 3', '2 3', '9 3 2 3', '1 2', '12 4')
DASHES = len(_DASHES)


def _variables(colors: tuple[str, ...], **others: str) -> str:
    told = {f'c{n}': color for n, color in enumerate(colors)} | others
    return ''.join(f'--{name}:{value};' for name, value in told.items())


_BY_LIGHT = _variables(
    _LIGHT, ink='#1b1f24', faint='#57606a', back='#ffffff', box='#f4f6f8', rule='#d0d7de',
    grid='#e6e9ed', alarm='#a40e26', good='#116329', link='#0550ae', shade='#8c959f',
)  # fmt: skip
_BY_DARK = _variables(
    _DARK, ink='#e6edf3', faint='#9aa5b1', back='#0d1117', box='#161b22', rule='#3a424c',
    grid='#242b33', alarm='#ff8a8a', good='#5ed27a', link='#79b8ff', shade='#6e7781',
)  # fmt: skip
_LINES = ''.join(
    f'.line.c{n}{{stroke:var(--c{n})}}circle.c{n},rect.c{n}{{fill:var(--c{n})}}'
    for n in range(COLORS)
) + ''.join(f'.line.d{n}{{stroke-dasharray:{dash}}}' for n, dash in enumerate(_DASHES))

STYLE = (
    f':root{{color-scheme:light dark;{_BY_LIGHT}}}'
    f'@media (prefers-color-scheme:dark){{:root{{{_BY_DARK}}}}}'
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);
 font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
header,main,footer{max-width:1360px;margin:0 auto;padding:0 20px}
h1{font-size:1.6rem;line-height:1.25;margin:1.4rem 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.2rem 0 .7rem;padding-top:.6rem;border-top:1px solid var(--rule)}
h3{font-size:1.02rem;margin:1.3rem 0 .5rem}
p{margin:.5rem 0;max-width:75ch;overflow-wrap:anywhere}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-999px}.skip:focus{position:static}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;padding:0;margin:.8rem 0}
.faint,.note,small{color:var(--faint)}.note{font-size:.85rem;margin:.1rem 0 .4rem}
.absent{color:var(--faint);font-style:italic}
.lead{font-size:1.12rem;border-left:4px solid var(--link);background:var(--box);
 padding:.7rem 1rem;max-width:none}
.alarm{color:var(--alarm);font-weight:600}.good{color:var(--good);font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,170px),1fr));
 gap:10px;margin:1rem 0}
.tiles div{background:var(--box);border:1px solid var(--rule);border-radius:6px;
 padding:.55rem .8rem}
dt{font-size:.83rem;color:var(--faint)}dd{margin:0;font-size:1.2rem;font-weight:600;
 overflow-wrap:anywhere}
dd small{display:block;font-size:.8rem;font-weight:400}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:16px}
.charts.small{grid-template-columns:repeat(auto-fill,minmax(min(100%,290px),1fr))}
figure{margin:0;border:1px solid var(--rule);border-radius:6px;padding:.6rem .7rem;min-width:0}
figcaption{font-weight:600;font-size:.93rem;overflow-wrap:anywhere}
figure svg{display:block;width:100%;height:auto;max-width:560px}
svg text{fill:var(--faint);font-size:11px;font-family:inherit}
.over{paint-order:stroke;stroke:var(--back);stroke-width:4px;stroke-linejoin:round}
.end{text-anchor:end}.mid{text-anchor:middle}
.grid{stroke:var(--grid);stroke-width:1}.axis{stroke:var(--faint);fill:none}
.line{fill:none;stroke-width:1.5;stroke-linejoin:round}.line.thick{stroke-width:3}
.level{stroke:var(--ink);stroke-dasharray:1 3;stroke-width:1.4;stroke-linecap:round;fill:none}
.legend{display:flex;flex-wrap:wrap;gap:.1rem .9rem;list-style:none;margin:.3rem 0 0;padding:0;
 font-size:.83rem}
.legend li{display:flex;align-items:center;gap:.35rem;overflow-wrap:anywhere}
.legend svg{width:24px;height:10px;flex:none}
details{margin-top:.4rem;font-size:.85rem}summary{cursor:pointer;color:var(--link)}
.scroll{overflow-x:auto;max-width:100%;scrollbar-width:thin;background:
 linear-gradient(to right,var(--back) 50%,transparent) 0 0/40px 100% no-repeat local,
 linear-gradient(to left,var(--back) 50%,transparent) 100% 0/40px 100% no-repeat local,
 linear-gradient(to right,var(--shade),transparent) 0 0/10px 100% no-repeat scroll,
 linear-gradient(to left,var(--shade),transparent) 100% 0/10px 100% no-repeat scroll}
table{min-width:min(100%,20rem);border-collapse:collapse;font-size:.88rem;
 font-variant-numeric:tabular-nums;margin:.4rem 0}
caption{text-align:left;color:var(--faint);padding:.2rem 0;font-size:.85rem}
th,td{text-align:left;padding:.28rem .7rem .28rem 0;border-bottom:1px solid var(--rule);
 vertical-align:top}
thead th,.s{white-space:nowrap}tbody th{font-weight:500}
td,tbody th{overflow-wrap:break-word;max-width:46ch}
tr.differs td,td.differs{font-weight:700}
pre{background:var(--box);border:1px solid var(--rule);border-radius:6px;padding:.7rem .9rem;
 overflow-x:auto;font-size:.85rem}
.chain{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,205px),1fr));gap:10px;
 list-style:none;padding:0;margin:.5rem 0}
.chain li{border:1px solid var(--rule);border-left:5px solid var(--rule);border-radius:6px;
 padding:.5rem .7rem;min-width:0}
.chain strong{display:block;overflow-wrap:anywhere}
.chain svg{display:block;width:100%;height:12px;margin:.3rem 0}
.chain small{display:block;font-size:.82rem}
.back{fill:var(--grid)}.tick{fill:var(--ink);stroke:var(--back);stroke-width:2;paint-order:stroke}.span{stroke:var(--ink);stroke-width:2}
.views{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,520px),1fr));gap:12px}
.row{display:flex;flex-wrap:wrap;gap:6px;list-style:none;margin:0;padding:0}
.row li{font-size:.72rem;width:72px;overflow-wrap:anywhere}
.row img{display:block;width:64px;height:64px;object-fit:contain;image-rendering:pixelated;
 background:var(--box);border:2px solid var(--rule)}
.row .same img{border-color:var(--c0)}.row .other img{border-color:var(--c1);border-style:dashed}
.row li:first-child{margin-right:10px}.row li:first-child img{border-color:var(--ink)}
@media screen and (max-width:600px){
 header,main,footer{padding-left:14px;padding-right:14px}
 table{font-size:.8rem}th,td{padding-right:.5rem}thead th{white-space:normal}
 tbody th,tbody th.s{white-space:normal;overflow-wrap:anywhere;min-width:12ch;max-width:18ch}
 pre{white-space:pre-wrap;overflow-wrap:anywhere}}
footer{padding:2rem 20px;font-size:.85rem;color:var(--faint)}
"""
    + _LINES
    + f"""
@media print{{:root{{color-scheme:light;{_BY_LIGHT}}}
 body{{font-size:10.5pt}}nav,.skip{{display:none}}header,main,footer{{max-width:none;padding:0}}
 details::details-content{{content-visibility:visible;display:block;height:auto}}
 figure,.chain li,.tiles div,tr{{break-inside:avoid}}h2,h3{{break-after:avoid}}
 .scroll,pre{{overflow:visible}}pre{{white-space:pre-wrap}}
 .charts{{grid-template-columns:repeat(2,1fr)}}.charts.small{{grid-template-columns:repeat(3,1fr)}}}}
"""
)
