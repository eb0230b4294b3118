"""Who may send for a domain: its SPF record with everything it includes, counted and laid flat.

    tree = await follow("example.org", dns)
    tree.lookups, tree.networks, tree.items

`spf.check` looks at one client and stops where it knows; here every include is followed to its end, as far as a client
could ever get, so that the owner sees what his record comes to. Lookups are counted as RFC 7208 §4.6.4 counts them when
nothing matches: a record that is included twice costs twice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Final, NamedTuple

from posthouse.checks.evidence import asked, shown
from posthouse.checks.spf import record as syntax
from posthouse.checks.spf.inquiry import LOOKUPS, MX_HOSTS, VOID_LOOKUPS, is_name
from posthouse.checks.spf.macros import MacroString
from posthouse.checks.spf.record import Directive, Record, RecordError
from posthouse.checks.survey.item import Entry, Item, State
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.verdict import Evidence

TOPIC: Final = "SPF"
# Beyond these nothing is followed any more: a record that needs half of it is broken already.
FOLLOWED: Final = 60
DEPTH: Final = 12
NETWORKS: Final = 4_000
# RFC 7208 §3.4: a record should stay below this, so that an answer fits into 512 octets.
RECORD_OCTETS: Final = 450
# A network of more addresses than this is hardly one's own.
_WIDE = {4: 14, 6: 28}
_IN_USE: Final = IPv6Network("2000::/3")
_NEAR_LIMIT: Final = 9
_ADDRESSES: Final = 50
_ENDLESS: Final = f"it leads more than {DEPTH} records deep, or to more than {FOLLOWED} names, and was not followed"
_NO_ANSWER: Final = "no answer"

Network = IPv4Network | IPv6Network


class Allowed(NamedTuple):
    """A network from which the domain lets mail be sent, and by which terms, the outermost first."""

    network: Network
    by: tuple[str, ...]


@dataclass(slots=True)
class Branch:
    """One record. `term` is what led here ("" for the domain's own); `lookups` are those of all below it, too.

    `terms` are its own terms as written, those that lead on replaced by their branches. `trouble` is a sentence.
    """

    domain: str
    term: str
    text: str = ""
    lookups: int = 0
    terms: "list[str | Branch]" = field(default_factory=list)
    trouble: str = ""


@dataclass(slots=True)
class Tree:
    """The whole policy. `rest` says what becomes of everybody else: a qualifier, or "" where nothing says so.

    `loose` are terms that cannot be laid flat, since they depend on the message; `voids` the names in it that lead to
    nothing. `uses_mx`: the mail hosts may send. `order` names a term that forbids before one that permits, `lesser` are
    the outermost terms that forbid, and `cut` says that there is more than was kept.
    """

    root: Branch
    lookups: int = 0
    voids: list[str] = field(default_factory=list)
    networks: list[Allowed] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    rest: str = ""
    everybody: bool = False
    uses_mx: bool = False
    uses_ptr: bool = False
    order: str = ""
    lesser: list[Directive] = field(default_factory=list)
    cut: bool = False
    troubles: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    items: tuple[Item, ...] = ()

    def unlike(self) -> str:
        """Why no list of networks says the same, "" where one does."""
        # RFC 7208 §4.6.2: terms are tried from left to right, and the first that matches decides.
        if self.troubles or self.faults:
            return "not everything in it could be read"
        if self.order:
            return f"{self.order}, and a list of networks would lose that"
        for term in self.lesser:
            if term.qualifier != (self.rest or "neutral"):
                return f"{shown(term.text)} says another thing than its end, and a list of networks would lose that"
        if any(term.lower().startswith("redirect=") for term in self.loose):
            return "its redirect depends on the message"
        return "it comes to more networks than were kept" if self.cut else ""

    def flattened(self) -> str:
        """The same policy in one record without lookups, but for what cannot be laid flat; "" where `unlike` says why
        there is none."""
        if self.unlike():
            return ""
        v4 = collapse_addresses(each.network for each in self.networks if isinstance(each.network, IPv4Network))
        v6 = collapse_addresses(each.network for each in self.networks if isinstance(each.network, IPv6Network))
        terms = [f"ip4:{_short(network)}" for network in v4] + [f"ip6:{_short(network)}" for network in v6]
        end = _ALL.get(self.rest, "?all")
        return " ".join([syntax.VERSION, *terms, *dict.fromkeys(self.loose), "+all" if self.everybody else end])

    def lookups_flat(self) -> int:
        """How many lookups the flattened record takes."""
        below = {branch.term: branch.lookups for branch in self.root.terms if isinstance(branch, Branch)}
        return sum(1 + below.get(term, 0) for term in dict.fromkeys(self.loose))


_ALL = {"fail": "-all", "softfail": "~all", "neutral": "?all", "pass": "+all"}


async def follow(domain: str, dns: Dns, *, takes_mail: bool = True) -> Tree:
    """Never raises. `takes_mail`: the domain has mail hosts, which a first record would name."""
    walk = _Walk(dns)
    root = Branch(domain, "")
    await walk.record(root, _Way((domain,)))
    walk.tree.root = root
    walk.tree.lookups = root.lookups
    walk.tree.items = tuple(_items(domain, walk.tree, takes_mail))
    return walk.tree


class _Way(NamedTuple):
    """How a record was come to: through which domains and terms. `outer`: its "all" is that of the whole policy;
    `counts`: what it lets pass passes."""

    path: tuple[str, ...]
    by: tuple[str, ...] = ()
    outer: bool = True
    counts: bool = True


class _Walk:
    """The questions of one policy; every name is asked for once, and counted as often as it is used."""

    def __init__(self, dns: Dns) -> None:
        self.tree = Tree(Branch("", ""))
        self._dns = dns
        self._records: dict[str, Record | str] = {}
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._followed = 0
        # A term that forbids, of the record that is being read or of those that lead to it by redirect.
        self._against = ""

    async def record(self, branch: Branch, way: _Way) -> None:
        """Reads the record of a branch and follows its terms."""
        record = await self._policy(branch.domain)
        if isinstance(record, str):
            self._trouble(branch, record)
            return
        branch.text = record.text
        for directive in record.directives:
            await self._directive(branch, directive, way)
        if record.redirect is not None:
            branch.lookups += 1
            await self._onward(branch, f"redirect={record.redirect.text}", record.redirect, way)

    async def _directive(self, branch: Branch, directive: Directive, way: _Way) -> None:
        tree = self.tree
        passes = directive.qualifier == "pass" and way.counts
        self._ordered(directive, way)
        if isinstance(directive, syntax.All):
            branch.terms.append(directive.text)
            tree.rest = directive.qualifier if way.outer else tree.rest
            # Who includes a record that lets everybody send lets everybody send.
            tree.everybody = tree.everybody or passes
        elif isinstance(directive, syntax.Ip4 | syntax.Ip6):
            branch.terms.append(directive.text)
            bits = 32 if isinstance(directive, syntax.Ip4) else 128
            if passes:
                self._allow([_network(directive.network, directive.length, bits)], way, directive.text)
        elif isinstance(directive, syntax.Include):
            branch.lookups += 1
            below = way._replace(outer=False, counts=passes)
            # What an include forbids only ends the include.
            against, self._against = self._against, "" if passes else self._against
            await self._onward(branch, directive.text, directive.domain, below)
            self._against = against
        else:
            branch.lookups += 1
            branch.terms.append(directive.text)
            await self._hosts_of(branch, directive, way, passes)

    def _ordered(self, directive: Directive, way: _Way) -> None:
        """Notes what depends on the order of the terms."""
        if not way.counts:
            return
        if directive.qualifier == "pass":
            if self._against and not self.tree.order:
                self.tree.order = f"{shown(self._against)} stands before {shown(directive.text)}"
        elif not isinstance(directive, syntax.All):
            self._against = directive.text
            self.tree.lesser += [directive] if way.outer else []

    async def _hosts_of(self, branch: Branch, directive: Directive, way: _Way, passes: bool) -> None:
        """The networks of an `a` or `mx`; what else asks the DNS depends on the message."""
        tree = self.tree
        tree.uses_ptr = tree.uses_ptr or isinstance(directive, syntax.Ptr)
        assert not isinstance(directive, syntax.All | syntax.Ip4 | syntax.Ip6)
        name = _literal(directive.domain, branch.domain)
        if isinstance(directive, syntax.Include | syntax.Ptr | syntax.Exists) or name is None:
            # Out of its own record a term may mean something else.
            tree.loose += [way.by[0] if way.by else directive.text] if passes else []
            return
        if isinstance(directive, syntax.Mx) and name == way.path[0]:
            tree.uses_mx = tree.uses_mx or passes
        self._followed += 1
        if self._followed > FOLLOWED:
            self._trouble(branch, _ENDLESS)
            return
        networks = await self._networks(branch, directive, name)
        if passes:
            self._allow(networks, way, directive.text)

    async def _onward(self, branch: Branch, term: str, spec: MacroString, way: _Way) -> None:
        """Follows an include or a redirect."""
        name = _literal(spec, branch.domain)
        if name is None:
            branch.terms.append(term)
            self.tree.loose += [way.by[0] if way.by else term] if way.counts else []
            return
        below = Branch(name, term)
        branch.terms.append(below)
        self._followed += 1
        if name in way.path:
            self._trouble(below, f"{name} leads back to itself, in a circle")
        elif len(way.path) >= DEPTH or self._followed > FOLLOWED:
            self._trouble(below, _ENDLESS)
        else:
            await self.record(below, way._replace(path=(*way.path, name), by=(*way.by, term)))
        branch.lookups += below.lookups

    async def _policy(self, domain: str) -> Record | str:
        """The record of a domain, or what is wrong."""
        if domain not in self._records:
            self._records[domain] = await self._ask_policy(domain)
        return self._records[domain]

    async def _ask_policy(self, domain: str) -> Record | str:
        try:
            answer = await self._dns.txt(domain)
        except DnsFault as fault:
            self.tree.faults.append(f"the SPF record of {domain} could not be asked for: {fault}")
            return _NO_ANSWER
        meant = [octets for octets in answer.records if syntax.is_record(octets)]
        self.tree.evidence.append(asked("TXT", domain, [octets.decode("latin-1") for octets in meant]))
        if not meant:
            return f"{domain} has no SPF record"
        if len(meant) > 1:
            return f"{domain} has {len(meant)} SPF records, where there may be one"
        try:
            return syntax.parse(meant[0].decode("ascii"))
        except UnicodeDecodeError:
            return f"the SPF record of {domain} has characters outside ASCII"
        except RecordError as error:
            return f"the SPF record of {domain} is malformed, {error}"

    async def _networks(self, branch: Branch, directive: syntax.A | syntax.Mx, name: str) -> list[Network]:
        """Where the hosts of an `a` or `mx` are."""
        faults = len(self.tree.faults)
        hosts: Sequence[str] = [name]
        if isinstance(directive, syntax.Mx):
            hosts = await self._exchanges(branch, name)
        networks: list[Network] = []
        for host in hosts:
            for address in await self._addresses(host):
                length = directive.ip4_length if "." in address else directive.ip6_length
                networks.append(ip_network(f"{address}/{length}", strict=False))
        if not networks and len(self.tree.faults) == faults:
            self.tree.voids.append(name)
        return networks

    async def _exchanges(self, branch: Branch, name: str) -> tuple[str, ...]:
        try:
            answer = await self._dns.mx(name)
        except DnsFault as fault:
            self.tree.faults.append(f"the MX records of {name} could not be asked for: {fault}")
            return ()
        self.tree.evidence.append(asked("MX", name, [f"{mx.preference} {mx.exchange or '.'}" for mx in answer.records]))
        if len(answer.records) > MX_HOSTS:
            words = f"{name} has {len(answer.records)} mail hosts, and no more than {MX_HOSTS} are looked at"
            self._trouble(branch, words)
        return tuple(mx.exchange for mx in answer.records[:MX_HOSTS] if is_name(mx.exchange))

    async def _addresses(self, host: str) -> tuple[str, ...]:
        if host not in self._hosts:
            found: list[str] = []
            for kind, ask in (("A", self._dns.a), ("AAAA", self._dns.aaaa)):
                try:
                    answer = await ask(host)
                except DnsFault as fault:
                    self.tree.faults.append(f"the addresses of {host} could not be asked for: {fault}")
                    continue
                self.tree.evidence.append(asked(kind, host, answer.records))
                found += answer.records[:_ADDRESSES]
                self.tree.cut = self.tree.cut or len(answer.records) > _ADDRESSES
            self._hosts[host] = tuple(found)
        return self._hosts[host]

    def _allow(self, networks: Sequence[Network], way: _Way, term: str) -> None:
        room = NETWORKS - len(self.tree.networks)
        self.tree.cut = self.tree.cut or len(networks) > room
        self.tree.networks += [Allowed(network, (*way.by, term)) for network in networks][: max(room, 0)]

    def _trouble(self, branch: Branch, words: str) -> None:
        branch.trouble = words
        if words != _NO_ANSWER:
            self.tree.troubles.append(words)


def _literal(spec: MacroString | None, domain: str) -> str | None:
    """The name in a term, where it does not depend on the message."""
    if spec is None:
        return domain
    if spec.letters - {"d"}:
        return None
    name = spec.name({"d": domain})
    return name if is_name(name) else None


def _network(number: int, length: int, bits: int) -> Network:
    return IPv4Network((number, length)) if bits == 32 else IPv6Network((number, length))


def _short(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _items(domain: str, tree: Tree, takes_mail: bool) -> list[Item]:
    first = f"{syntax.VERSION} mx -all" if takes_mail else f"{syntax.VERSION} -all"
    evidence = tuple(tree.evidence)
    if tree.root.trouble == f"{domain} has no SPF record":
        return [Item(
            TOPIC, domain, State.WRONG, tree.root.trouble, "nobody can tell who may send for it, and mail from it is"
            " trusted less", "say which hosts send for it" if takes_mail else "say that nobody sends for it",
            (Entry(domain, "TXT", first),), evidence,
        )]  # fmt: skip
    if tree.faults and not tree.root.text:
        return [Item(TOPIC, domain, State.UNKNOWN, tree.faults[0], evidence=evidence)]
    items = [
        Item(TOPIC, domain, State.WRONG, words, "the whole policy counts for nothing (permerror)", _mend(words, domain))
        for words in dict.fromkeys(tree.troubles)
    ]
    items += [Item(TOPIC, domain, State.UNKNOWN, words, evidence=evidence) for words in dict.fromkeys(tree.faults)]
    items += _counted(domain, tree)
    items += _ending(domain, tree)
    if not tree.faults and not any(item.state is State.WRONG for item in items):
        who = _who(tree)
        items.insert(0, Item(TOPIC, domain, State.GOOD, who, evidence=evidence))
    return items


def _mend(words: str, domain: str) -> str:
    if "SPF records" in words:
        return "join them into one"
    if "has no SPF record" in words:
        return "take the term that names it away, or ask its owner to publish a record"
    return "mend the term" if domain in words else "take the term that leads there away, or tell its owner"


def _who(tree: Tree) -> str:
    hosts = sum(network.num_addresses for network in collapse_v4(tree))
    told = f"{hosts} IPv4 address{'es' if hosts != 1 else ''}" if hosts else "no IPv4 address"
    v6 = sum(isinstance(each.network, IPv6Network) for each in tree.networks)
    told += f" and {v6} IPv6 network{'s' if v6 != 1 else ''}" if v6 else ""
    return f"{told} may send for it, found with {tree.lookups} of {LOOKUPS} lookups"


def collapse_v4(tree: Tree) -> list[IPv4Network]:
    """The IPv4 networks without what lies in another."""
    return list(collapse_addresses(each.network for each in tree.networks if isinstance(each.network, IPv4Network)))


def _flat(domain: str, tree: Tree) -> tuple[str, tuple[Entry, ...]]:
    """What to do about too many lookups, and the record that takes fewer where there is one."""
    change = "take includes away that nobody needs"
    why, flat, lookups = tree.unlike(), tree.flattened(), tree.lookups_flat()
    if not why and len(flat) > RECORD_OCTETS:
        why = f"it comes to a record of {len(flat)} characters"
    if not why and lookups > LOOKUPS:
        why = f"{lookups} lookups would be left of what depends on the message"
    if why:
        return f"{change}; no record without lookups can take its place: {why}", ()
    fewer = f"with {lookups} lookup{'s' if lookups != 1 else ''}" if lookups else "without lookups"
    words = f"the record below says the same {fewer}, but has to be changed whenever one of the others is"
    return f"{change}; {words}", (Entry(domain, "TXT", flat),)


def _counted(domain: str, tree: Tree) -> list[Item]:
    items: list[Item] = []
    if tree.lookups > LOOKUPS:
        change, record = _flat(domain, tree)
        items.append(Item(
            TOPIC, domain, State.WRONG, f"the policy takes {tree.lookups} lookups, and no more than {LOOKUPS} are made",
            "receivers give up (permerror), and mail that comes from the later terms is refused", change, record,
        ))  # fmt: skip
    elif tree.lookups >= _NEAR_LIMIT:
        found = f"the policy takes {tree.lookups} of {LOOKUPS} lookups"
        means = "whoever is included may add one more at any time, and then nothing counts any more"
        items.append(Item(TOPIC, domain, State.ADVICE, found, means, "take includes away that nobody needs"))
    names = ", ".join(map(shown, dict.fromkeys(tree.voids)))
    if len(tree.voids) > VOID_LOOKUPS:
        found = f"{len(tree.voids)} of its lookups lead to nothing, and no more than {VOID_LOOKUPS} may: {names}"
        means = "receivers give up (permerror)"
        items.append(Item(TOPIC, domain, State.WRONG, found, means, "take away the terms with these names"))
    elif tree.voids:
        change = "take away the terms with these names"
        items.append(Item(TOPIC, domain, State.ADVICE, f"it names hosts without an address: {names}", change=change))
    if tree.uses_ptr:
        means = "it is slow, depends on others, and is passed over by some receivers (RFC 7208 §5.5)"
        change = "name the networks instead"
        items.append(Item(TOPIC, domain, State.ADVICE, "the policy uses the mechanism ptr", means, change))
    if len(tree.root.text) > RECORD_OCTETS:
        found = f"its record has {len(tree.root.text)} characters"
        means = f"beyond {RECORD_OCTETS} an answer may not fit into a datagram, and some resolvers give up"
        items.append(Item(TOPIC, domain, State.ADVICE, found, means, "move a part of it into an include"))
    return items


def _ending(domain: str, tree: Tree) -> list[Item]:
    if tree.everybody:
        return [Item(
            TOPIC, domain, State.WRONG, "the policy lets everybody send (+all)", "any forgery passes",
            "end it with -all or ~all",
        )]  # fmt: skip
    if _most(tree):
        return [Item(
            TOPIC, domain, State.WRONG, f"the policy lets half of the internet send, by {_by(tree)}",
            "almost any forgery passes, as with +all", "name the networks that mail really comes from",
        ), *_neutral(domain, tree)]  # fmt: skip
    wide = [each for each in tree.networks if each.network.prefixlen < _WIDE[each.network.version]]
    items = [
        Item(
            TOPIC, domain, State.ADVICE, f"{each.network} may send for it, by {shown(each.by[-1])}",
            f"that are {each.network.num_addresses} addresses, of many owners", "name smaller networks",
        )
        for each in wide[:3]
    ]  # fmt: skip
    return [*items, *_neutral(domain, tree)]


def _most(tree: Tree) -> bool:
    """Whether half of all addresses of a family may send; those of IPv6 in use are an eighth of all."""
    v6 = collapse_addresses(each.network for each in tree.networks if isinstance(each.network, IPv6Network))
    used = [network for network in v6 if network.overlaps(_IN_USE)]
    return (
        sum(network.num_addresses for network in collapse_v4(tree)) >= 2**31
        or sum(min(network.num_addresses, _IN_USE.num_addresses) for network in used) >= _IN_USE.num_addresses // 2
    )


def _by(tree: Tree) -> str:
    """The terms of the largest networks."""
    wide = sorted((each for each in tree.networks), key=lambda each: each.network.prefixlen)
    return " and ".join(dict.fromkeys(shown(each.by[-1]) for each in wide[:2]))


def _neutral(domain: str, tree: Tree) -> list[Item]:
    """What is said where nobody is forbidden anything."""
    if tree.rest not in ("", "neutral") or not tree.root.text or tree.root.trouble:
        return []
    means = "it forbids nobody anything, and so protects from nothing"
    leads = [term for term in tree.root.terms if isinstance(term, Branch) and term.term.startswith("redirect=")]
    if leads:
        # Where the redirect leads nowhere, that is what is wrong.
        says = "ends with ?all" if tree.rest else "says nothing about everybody else"
        found = f"the record of {shown(leads[0].domain)}, to which it redirects, {says}"
        change = "end that record with ~all, later with -all"
        return [] if leads[0].trouble else [Item(TOPIC, domain, State.ADVICE, found, means, change)]
    version, *terms = tree.root.text.split()
    kept = [term for term in terms if not _is_all(term)]
    mechanisms = [term for term in kept if not _is_modifier(term)]
    modifiers = [term for term in kept if _is_modifier(term)]
    redirects = [term for term in modifiers if term.lower().startswith("redirect=")]
    found = "the policy says nothing about everybody else"
    if tree.rest:
        behind = [term for term in terms[terms.index(next(filter(_is_all, terms))) + 1 :] if term not in modifiers]
        found = "it ends with ?all"
        if [term for term in behind if not _is_all(term)]:
            found = f"?all stands before {shown(behind[0])}, so that nothing behind it counts"
        if redirects:
            found = f"?all stands beside {shown(redirects[0])}, which therefore counts for nothing"
            return [Item(TOPIC, domain, State.ADVICE, found, means, "take ?all or the redirect away")]
    elif redirects:
        return []
    record = Entry(domain, "TXT", " ".join([version, *mechanisms, "~all", *modifiers]))
    return [Item(TOPIC, domain, State.ADVICE, found, means, "end it with ~all, later with -all", (record,))]


def _is_all(term: str) -> bool:
    return term.lower().lstrip("+-?~") == "all"


# RFC 7208 §4.6.1: the name of a modifier ends with an equals sign, which no mechanism has before its colon.
_is_modifier = re.compile(r"[A-Za-z][A-Za-z0-9._-]*=").match
