"""The kinds of arguments that commands share: addresses, domains, sizes and queue ids, each refused in plain words."""

from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address

import click

from posthouse.config import Size
from posthouse.mail.address import Address, parse_domain
from posthouse.mail.dates import parse_date
from posthouse.mail.instant import SECOND
from posthouse.store import ids


class AddressType(click.ParamType[Address]):
    """A mail address."""

    name = "address"

    def convert(self, value: str | Address, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return Address.parse(value)
        except ValueError as error:
            self.fail(f"{value!r} is no mail address: {error}", param, ctx)


class DomainType(click.ParamType[str]):
    """A domain with U-labels or A-labels in any case, with or without a dot at its end; comes out in lower case with
    A-labels, without the dot."""

    name = "domain"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            # The dot at the end is how a zone file and dig write it.
            return parse_domain(value.removesuffix("."))
        except ValueError as error:
            self.fail(f"{value!r} is no domain name: {error}", param, ctx)


class SizeType(click.ParamType[int]):
    """A number of octets such as `5GiB`."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return Size.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class QueueIdType(click.ParamType[int]):
    """The 13 characters under which people see a message."""

    name = "id"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return ids.from_text(value)
        except ValueError as error:
            self.fail(f"{value!r} is no queue id: {error}", param, ctx)


class InstantType(click.ParamType[int]):
    """A point in time, as RFC 3339 or RFC 5322 write it; comes out in microseconds since 1970."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            date = parse_date(value.encode("utf-8", "replace"))
            if date is None:
                self.fail(f"{value!r} is no time such as 2025-03-01T18:15:30Z", param, ctx)
            return date.at
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()) * SECOND


class IpType(click.ParamType[str]):
    """An IP address, in brackets or not; comes out in its shortest form, IPv4-mapped ones as IPv4."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            found = ip_address(value.strip("[]").removeprefix("IPv6:"))
        except ValueError:
            self.fail(f"{value!r} is no IP address", param, ctx)
        if isinstance(found, IPv6Address) and found.scope_id is not None:
            self.fail(f"{value!r} names an interface of this machine, which is no part of an address", param, ctx)
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(found)


class PathType(click.ParamType[str]):
    """What stands behind MAIL FROM: anything, with or without angle brackets, or nothing; comes out with them."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = value.strip()
        return path if path.startswith("<") and path.endswith(">") else f"<{path}>"
