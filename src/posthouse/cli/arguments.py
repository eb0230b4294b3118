"""The kinds of arguments that commands share: addresses, domains, sizes and queue ids, each refused in plain words."""

import click

from posthouse.config import Size
from posthouse.mail.address import Address, parse_domain
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
    """A domain with U-labels or A-labels in any case; comes out in lower case with A-labels."""

    name = "domain"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_domain(value)
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
