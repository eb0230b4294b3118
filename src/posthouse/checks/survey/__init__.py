"""A domain as the world sees it: what it publishes about its mail, what that means, and what to mend.

    hosts = await exchangers(domain, dns)              MX, addresses        reverse(hosts.exchanges, dns, …)
    tree = await follow(domain, dns)                   SPF, laid flat
    await selectors(domain, dns) ; policy(domain, dns) DKIM, DMARC
    await sts_record(…) ; tls_reporting(…) ; tlsa(…)   how mail is protected on its way
    await emblem(domain, dns) ; listings(…)            BIMI, blocklists
    encryption(calls, now, …)                          what the hosts said when they were called

Each gives `Item`s: a state, what was found, what it means, what to change, and the exact records to publish. Nothing
here raises for what the DNS does or a domain publishes; every question and every record is bounded.
"""

from posthouse.checks.survey.emblem import Emblem, drawing, emblem, unfetched
from posthouse.checks.survey.exchangers import Exchange, Exchangers, exchangers, reverse
from posthouse.checks.survey.item import Entry, Item, State, found_out, must_mend, worst
from posthouse.checks.survey.listings import listings
from posthouse.checks.survey.policy import policy
from posthouse.checks.survey.selectors import selectors
from posthouse.checks.survey.senders import Branch, Tree, follow
from posthouse.checks.survey.transport import Keys, Sts, sts_policy, sts_record, sts_unfetched, tls_reporting, tlsa

__all__ = [
    "Branch", "Emblem", "Entry", "Exchange", "Exchangers", "Item", "Keys", "State", "Sts", "Tree", "drawing",
    "emblem", "exchangers", "follow", "found_out", "listings", "must_mend", "policy", "reverse", "selectors",
    "sts_policy", "sts_record", "sts_unfetched", "tls_reporting", "tlsa", "unfetched", "worst",
]
