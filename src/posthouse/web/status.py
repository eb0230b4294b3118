"""The page that says what runs here: one self-contained document, in light and dark, without a script."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape

from posthouse import __version__


@dataclass(frozen=True, slots=True)
class Service:
    """A line of the page: what it is, where, and how it is encrypted."""

    name: str
    ports: tuple[int, ...]
    encryption: str


@dataclass(frozen=True, slots=True)
class Status:
    """What the page shows. `queue` and `connections` are for those who may read /metrics."""

    services: tuple[Service, ...]
    uptime: float
    healthy: bool
    queue: Mapping[str, int] = field(default_factory=dict)
    connections: int = 0


_STYLE = """
:root{color-scheme:light dark;--ink:#1d2733;--soft:#5c6b7c;--line:#dfe5ec;--card:#fff;--ground:#f3f5f8;--mark:#b3261e;
--good:#1a7f4b;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf1;--soft:#93a1b1;--line:#2b3644;--card:#18202a;--ground:#0f151c;
--mark:#ff8a80;--good:#5fd39a;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:46rem;margin:0 auto;padding:3.5rem 1.25rem}
header{display:flex;gap:1rem;align-items:center;margin-bottom:2rem}
header svg{flex:none;width:3.25rem;height:3.25rem}
h1{font-size:1.6rem;line-height:1.2;margin:0;overflow-wrap:anywhere}
header p{margin:.15rem 0 0;color:var(--soft)}
.state{display:inline-block;width:.6em;height:.6em;border-radius:50%;margin-right:.45em;background:var(--good)}
.state.unwell{background:var(--bad)}
section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:.35rem 1.25rem;
margin:0 0 1.25rem}
h2{font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);margin:.9rem 0 .4rem;font-weight:600}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.5rem 0;border-top:1px solid var(--line);text-align:left;font-weight:400}
tr:first-child td,tr:first-child th{border-top:0}
td:last-child{text-align:right;color:var(--soft)}
.numbers{display:flex;flex-wrap:wrap;gap:.5rem 2.25rem;padding:.35rem 0 .9rem;margin:0}
.numbers div{min-width:5rem}
.numbers dd{margin:0;font-size:1.6rem;line-height:1.2;font-variant-numeric:tabular-nums}
.numbers dt{color:var(--soft);font-size:.85rem}
footer{color:var(--soft);font-size:.85rem}
"""

_SEAL = (
    '<svg viewBox="0 0 52 52" role="img" aria-label="Posthouse"><rect x="3" y="11" width="46" height="31" rx="5" '
    'fill="none" stroke="currentColor" stroke-width="3"/><path d="M5 15l21 16 21-16" fill="none" '
    'stroke="currentColor" stroke-width="3" stroke-linejoin="round"/><circle cx="26" cy="33" r="6.5" '
    'fill="var(--mark)"/></svg>'
)

STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
"""What the policy names, so that this style applies and no other."""


def page(hostname: str, status: Status, *, numbers: bool) -> str:
    """The page at /; everything that is not ours is escaped."""
    rows = "".join(
        f"<tr><th scope=row>{escape(service.name)}</th><td>{escape(service.encryption)}</td>"
        f"<td>{'port' if len(service.ports) == 1 else 'ports'} {', '.join(map(str, service.ports))}</td></tr>"
        for service in status.services
    )
    state = "All services are running" if status.healthy else "Something is wrong: see the log"
    return (
        f'<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{escape(hostname)}</title><style>{_STYLE}</style><main><header>{_SEAL}<div>"
        f"<h1>{escape(hostname)}</h1><p><span class='state{'' if status.healthy else ' unwell'}'></span>{state}</p>"
        f"</div></header><section><h2>Services</h2><table>{rows}</table></section>"
        f"{_numbers(status) if numbers else ''}"
        f"<footer>Posthouse {escape(__version__)}, a mail system. Up for {_span(status.uptime)}.</footer></main></html>"
    )


def _numbers(status: Status) -> str:
    shown = {"connections": status.connections, **status.queue}
    cells = "".join(f"<div><dd>{value:,}</dd><dt>{escape(name)}</dt></div>" for name, value in shown.items())
    return f"<section><h2>Now</h2><dl class=numbers>{cells}</dl></section>"


def _span(seconds: float) -> str:
    """`3 days 4 hours`, the two largest units."""
    left = int(seconds)
    parts = []
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts[:2]) or "less than a second"
