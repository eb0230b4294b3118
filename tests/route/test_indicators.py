"""Logos: looked for beside the mail, from a real web server, kept for a day, told on the journey; hostile ones not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest
from cryptography import x509

from checks.bimi.marks import SVG, Authority
from checks.zone import NOW
from posthouse.mail.instant import DAY, HOUR
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.message import Message
from posthouse.mail.reply import Reply
from posthouse.route import indicators
from posthouse.route.authentication import Authentication, CheckSettings
from posthouse.route.indicators import Indicators
from posthouse.route.observer import Unobserved
from posthouse.route.policy import Policy, Preset
from posthouse.route.reception import Inspection, Reception
from posthouse.store import bimi
from posthouse.store.bimi import Logo
from route.asked import ZoneResolver
from route.office import Office, in_office
from serve.web import Says, Web, found, moved, open_web

ALICE = "alice@posthouse.test"
ZONE: dict[str, dict[str, str | list[str]]] = {
    "a.example": {"TXT": "v=spf1 ip4:192.0.2.7 -all", "A": "127.0.0.1"},
    "_dmarc.a.example": {"TXT": "v=DMARC1; p=reject"},
    "default._bimi.a.example": {"TXT": "v=BIMI1; l=https://www.a.example/logo.svg"},
    "www.a.example": {"A": "127.0.0.1"},
    "root.example": {"A": "127.0.0.1"},
    "issuer.example": {"A": "127.0.0.1"},
    "weak.example": {"TXT": "v=spf1 ip4:192.0.2.7 -all"},
    "_dmarc.weak.example": {"TXT": "v=DMARC1; p=none"},
    "plain.example": {"TXT": "v=spf1 ip4:192.0.2.7 -all"},
    "_dmarc.plain.example": {"TXT": "v=DMARC1; p=reject"},
}


class Gallery:
    """An office that looks for logos, and the web it looks in."""

    def __init__(self, office: Office, web: Web, records: Mapping[str, dict[str, str | list[str]]],
                 trusted: Sequence[x509.Certificate] = ()) -> None:
        office.clock.now = NOW
        self.office = office
        self.web = web
        self.resolver = ZoneResolver({**ZONE, **records})
        fetcher = web.fetcher({**ZONE, **records})
        self.indicators = Indicators(office.db, self.resolver, fetcher, office.clock, Unobserved(), trusted)
        checks = Authentication(self.resolver, CheckSettings("mx.posthouse.test", trusted_networks=()))
        inspection = Inspection(checks, Policy(Preset.CAUTIOUS), indicators=self.indicators)
        office.reception = Reception(office.acceptance, inspection=inspection)

    async def receive(self, author: str = "news@a.example", fields: str = "") -> Reply:
        octets = (
            f"From: {author}\r\nTo: {ALICE}\r\nSubject: x\r\nDate: Sat, 01 Mar 2025 18:15:30 +0000\r\n"
            f"Message-ID: <{self.office.ids.next(self.office.clock.now)}@x>\r\n{fields}\r\nx\r\n"
        ).encode()
        replies = await self.office.receive(author, [ALICE], octets)
        assert replies[-1].is_positive
        return replies[-1]

    async def verdict(self, reply: Reply) -> Stamp | None:
        journey = await self.office.journey(reply)
        told = [stamp for stamp in journey.stamps if stamp.step is Step.VERDICT and stamp.facts["method"] == "bimi"]
        return told[0] if told else None

    async def logo(self, domain: str = "a.example", selector: str = "default") -> Logo | None:
        return await self.office.db.read(lambda tx: bimi.find(tx, domain, selector))

    async def settled(self) -> None:
        """Lets the work be done for what waits."""
        work = asyncio.create_task(self.indicators.run())
        async with asyncio.timeout(30):
            await self.indicators.settled()
        work.cancel()


def in_gallery(
    folder: Path, work: Callable[[Gallery], Awaitable[None]], says: Mapping[str, Says] | None = None,
    records: Mapping[str, dict[str, str | list[str]]] | None = None, trusted: Sequence[x509.Certificate] = (),
) -> None:
    async def within(office: Office) -> None:
        pages = {"/logo.svg": found(SVG)} if says is None else says
        async with open_web(folder / "web", pages, "www.a.example") as web:
            await work(Gallery(office, web, records or {}, trusted))

    in_office(folder, within)


def test_a_logo_comes_after_the_message_and_is_told_on_its_journey(tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        reply = await gallery.receive()
        assert gallery.web.asked == []
        assert await gallery.verdict(reply) is None
        await gallery.settled()
        told = await gallery.verdict(reply)
        assert told is not None
        assert told.facts["result"] == "pass"
        assert told.facts["reason"] == "a.example publishes a logo, for which nobody else vouches"
        assert (told.facts["domain"], told.facts["selector"]) == ("a.example", "default")
        logo = await gallery.logo()
        assert logo is not None
        assert b"<circle" in logo.indicator
        assert (logo.result, logo.authority, logo.fetched, logo.expires) == ("pass", "none", NOW, NOW + DAY)

    in_gallery(tmp_path, work)


def test_a_logo_is_fetched_once_a_day_however_much_comes(tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        for _ in range(5):
            reply = await gallery.receive()
            await gallery.settled()
            told = await gallery.verdict(reply)
            assert told is not None
            assert told.facts["result"] == "pass"
        assert len(gallery.web.asked) == 1
        gallery.office.clock.pass_by(DAY)
        await gallery.receive()
        await gallery.settled()
        assert len(gallery.web.asked) == 2

    in_gallery(tmp_path, work)


def test_a_record_that_changed_is_looked_at_anew(tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        await gallery.receive()
        await gallery.settled()
        changed = {"default._bimi.a.example": {"TXT": "v=BIMI1; l=https://www.a.example/new.svg"}}
        other = Gallery(gallery.office, gallery.web, changed)
        await other.receive()
        await other.settled()
        logo = await other.logo()
        assert logo is not None
        assert b'fill="green"' in logo.indicator
        assert [head.split()[1] for head in other.web.asked] == ["/logo.svg", "/new.svg"]

    in_gallery(tmp_path, work, {"/logo.svg": found(SVG), "/new.svg": found(SVG.replace(b"red", b"green"))})


@pytest.mark.parametrize("author", ["news@weak.example", "news@plain.example", "news@unknown.example"])
def test_who_enforces_nothing_or_has_no_logo_leaves_no_trace(author: str, tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        reply = await gallery.receive(author)
        await gallery.settled()
        assert await gallery.verdict(reply) is None
        assert await gallery.office.db.read(lambda tx: tx.all("SELECT * FROM bimi_marks")) == []
        assert gallery.web.asked == []

    in_gallery(tmp_path, work)


def test_a_spoofed_author_gets_no_logo(tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        records = {"a.example": {"TXT": "v=spf1 ip4:198.51.100.1 -all"}}
        spoofed = Gallery(gallery.office, gallery.web, records)
        reply = await spoofed.receive()
        await spoofed.settled()
        assert await spoofed.verdict(reply) is None
        assert spoofed.web.asked == []

    in_gallery(tmp_path, work)


HOSTILE: dict[str, tuple[Says, str]] = {
    "a script": (found(SVG.replace(b"<circle", b"<script>alert(1)</script><circle")), "<script>"),
    "an event": (found(SVG.replace(b"<circle", b'<circle onclick="x()"')), "onclick"),
    "a link": (found(SVG.replace(b"<circle", b'<a href="https://x.example/"/><circle')), "<a>"),
    "a picture": (found(SVG.replace(b"<circle", b'<image href="https://x.example/"/><circle')), "<image>"),
    "an entity": (found(b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + SVG), ""),
    "a bomb": (found(b'<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>' + SVG), ""),
    "a page": (found(b"<html><body>404</body></html>"), ""),
    "nothing": (found(b""), ""),
    "too much": (found(SVG + b" " * 2_000_000), "octets"),
    "packed": (found(SVG, "Content-Encoding: gzip"), "packed"),
    "a way inside": (moved("https://inside.example/logo.svg"), "outside the public internet"),
    "a way to secrets": (moved("http://169.254.169.254/latest/meta-data/"), "URL"),
    "a way without encryption": (moved("http://www.a.example/logo.svg"), "without encryption"),
    "a circle": (moved("/logo.svg"), "leads on"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_mark_is_refused_with_its_reason(kind: str, tmp_path: Path) -> None:
    says, reason = HOSTILE[kind]

    async def work(gallery: Gallery) -> None:
        reply = await gallery.receive()
        await gallery.settled()
        told = await gallery.verdict(reply)
        logo = await gallery.logo()
        assert told is not None
        assert logo is not None
        assert (told.facts["result"], logo.result, logo.indicator) == ("fail", "fail", b"")
        assert reason in str(told.facts["reason"])

    in_gallery(tmp_path, work, {"/logo.svg": says}, {"inside.example": {"A": "169.254.1.1"}})


def test_what_cannot_be_had_now_is_asked_for_again_after_an_hour(tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        reply = await gallery.receive()
        await gallery.settled()
        told = await gallery.verdict(reply)
        assert told is not None
        assert told.facts["result"] == "temperror"
        gallery.web.says["/logo.svg"] = found(SVG)
        await gallery.receive()
        await gallery.settled()
        assert len(gallery.web.asked) == 1
        gallery.office.clock.pass_by(HOUR)
        reply = await gallery.receive()
        await gallery.settled()
        told = await gallery.verdict(reply)
        assert told is not None
        assert told.facts["result"] == "pass"

    in_gallery(tmp_path, work, {"/logo.svg": found(b"", status="503 Service Unavailable")})


@pytest.mark.parametrize(
    ("record", "result"),
    [("v=BIMI1; l=;", "declined"), ("v=BIMI1; l=http://www.a.example/logo.svg", "fail"), ("v=BIMI1; x", "fail")],
)
def test_a_record_without_a_logo_is_told_and_nothing_is_fetched(record: str, result: str, tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        reply = await gallery.receive()
        await gallery.settled()
        told = await gallery.verdict(reply)
        assert told is not None
        assert told.facts["result"] == result
        assert gallery.web.asked == []

    in_gallery(tmp_path, work, records={"default._bimi.a.example": {"TXT": record}})


def test_a_dns_that_is_silent_about_a_logo_is_told(tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        reply = await gallery.receive()
        await gallery.settled()
        told = await gallery.verdict(reply)
        assert told is not None
        assert told.facts["result"] == "temperror"
        assert await gallery.logo() is None

    in_gallery(tmp_path, work, records={"default._bimi.a.example": {"ANY": "TIMEOUT"}})


def test_a_certificate_vouches_for_a_logo_by_way_of_lists_that_are_fetched_in_the_clear(tmp_path: Path) -> None:
    authority = Authority()
    good = authority.pem(authority.mark())
    lists = {url.removeprefix("http://").partition("/")[0]: octets for url, octets in authority.lists().items()}

    async def both(writer: asyncio.StreamWriter) -> None:
        head = gallery_web[0].asked[-1]
        host = next(line[6:] for line in head.split("\r\n") if line.startswith("Host: "))
        writer.write(found(lists[host]))

    gallery_web: list[Web] = []

    async def work(gallery: Gallery) -> None:
        gallery_web.append(gallery.web)
        reply = await gallery.receive()
        await gallery.settled()
        told = await gallery.verdict(reply)
        logo = await gallery.logo()
        assert told is not None
        assert logo is not None
        assert told.facts["result"] == "pass", told
        assert (logo.authority, logo.organization, logo.mark) == ("pass", "A Inc.", "Registered Mark")
        hosts = [head.split("\r\n")[1] for head in gallery.web.asked]
        assert hosts == ["Host: www.a.example", "Host: issuer.example", "Host: root.example"]

    record = "v=BIMI1; l=https://www.a.example/logo.svg; a=https://www.a.example/mark.pem"
    says: dict[str, Says] = {"/mark.pem": found(good), "/list.crl": both}
    in_gallery(tmp_path, work, says, {"default._bimi.a.example": {"TXT": record}}, [authority.root])


def test_more_than_may_wait_drive_out_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicators, "WAITING", 3)

    async def work(gallery: Gallery) -> None:
        replies = [await gallery.receive() for _ in range(5)]
        await gallery.settled()
        told = [await gallery.verdict(reply) is not None for reply in replies]
        assert told == [False, False, True, True, True]

    in_gallery(tmp_path, work)


def test_an_enormous_header_does_not_wait(tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        reply = await gallery.receive(fields="".join(f"X-Filler: {'x' * 900}\r\n" for _ in range(80)))
        await gallery.settled()
        assert await gallery.verdict(reply) is None

    in_gallery(tmp_path, work)


def test_what_goes_wrong_with_one_logo_ends_nobodys_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(gallery: Gallery) -> None:
        look = gallery.indicators.look
        calls: list[int] = []

        async def once(*args: object) -> object:
            calls.append(1)
            if len(calls) == 1:
                raise RuntimeError("a drawing that nobody thought of")
            return await look(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(gallery.indicators, "look", once)
        await gallery.receive()
        reply = await gallery.receive()
        await gallery.settled()
        assert await gallery.verdict(reply) is not None

    in_gallery(tmp_path, work)


def test_logos_are_forgotten_when_they_are_old_or_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bimi, "LOGOS", 3)

    async def work(gallery: Gallery) -> None:
        old = Logo("old.example", "default", "", "pass", "", "none", "", "", "", NOW - bimi.KEPT, NOW, b"<svg/>")
        for number in range(5):
            logo = old._replace(domain=f"{number}.example", fetched=NOW + number)
            await gallery.office.db.write(lambda tx, logo=logo: bimi.save(tx, logo))  # type: ignore[misc]
        await gallery.office.db.write(lambda tx: bimi.save(tx, old))
        await gallery.office.db.write(lambda tx: bimi.sweep(tx, NOW))
        left = await gallery.office.db.read(lambda tx: tx.all("SELECT domain FROM bimi_marks ORDER BY domain"))
        assert left == [("2.example",), ("3.example",), ("4.example",)]
        await gallery.office.db.write(lambda tx: bimi.sweep(tx, NOW + bimi.KEPT + 3))
        left = await gallery.office.db.read(lambda tx: tx.all("SELECT domain FROM bimi_marks"))
        assert left == [("4.example",)]

    in_gallery(tmp_path, work)


def test_a_forged_indicator_in_the_message_is_nobodys_logo(tmp_path: Path) -> None:
    async def work(gallery: Gallery) -> None:
        reply = await gallery.receive(fields="BIMI-Selector: v=BIMI1; s=forged;\r\nBIMI-Indicator: PHN2Zy8+\r\n")
        await gallery.settled()
        told = await gallery.verdict(reply)
        assert told is not None
        assert told.facts["selector"] == "default"
        (filed,) = await gallery.office.mailbox(ALICE)
        assert Message.parse(filed.prefix + b"\r\n").header.get("bimi-indicator") is None

    in_gallery(tmp_path, work)
