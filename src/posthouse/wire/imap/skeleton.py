"""BODY out of BODYSTRUCTURE: the same parts without the extension data (RFC 3501 §7.4.2).

Only BODYSTRUCTURE is kept; who asks for BODY, which is rare, gets it cut down from that.
"""

import re

_TOKEN = re.compile(rb'[ ]*(?:(\()|(\))|"[^"\\]*(?:\\.[^"\\]*)*"|\{([0-9]+)\}\r\n|[^ ()"{]+)', re.DOTALL)

# A string, as it stands, or a list.
Node = bytes | list["Node"]


def body(bodystructure: bytes) -> bytes:
    """The non-extensible form of what `structure.bodystructure` rendered."""
    tree = _parse(bodystructure)
    return _render(_plain(tree))


def _parse(octets: bytes) -> list[Node]:
    root: list[Node] = []
    open_lists = [root]
    at = 0
    while (found := _TOKEN.match(octets, at)) is not None:
        at = found.end()
        if found[1]:
            inner: list[Node] = []
            open_lists[-1].append(inner)
            open_lists.append(inner)
        elif found[2]:
            open_lists.pop()
        elif found[3]:
            at += int(found[3])
            open_lists[-1].append(octets[found.start() : at].lstrip(b" "))
        else:
            open_lists[-1].append(found[0].lstrip(b" "))
    first = root[0]
    if not isinstance(first, list):
        raise ValueError("not a body structure")
    return first


def _plain(part: list[Node]) -> list[Node]:
    if isinstance(part[0], list):
        parts: list[Node] = []
        for item in part:
            if not isinstance(item, list):
                # The subtype ends what BODY tells of a multipart.
                parts.append(item)
                break
            parts.append(_plain(item))
        return parts
    main, sub = part[0].lower(), part[1]
    if main == b'"text"':
        return part[:8]
    inner = part[8] if len(part) > 8 else b""
    if main == b'"message"' and isinstance(sub, bytes) and sub.lower() in _MESSAGES and isinstance(inner, list):
        return [*part[:8], _plain(inner), part[9]]
    return part[:7]


_MESSAGES = (b'"rfc822"', b'"global"')


def _render(node: Node) -> bytes:
    if isinstance(node, bytes):
        return node
    if node and isinstance(node[0], list):
        # The parts of a multipart, and the addresses of an envelope, stand without a space between them.
        lists = [_render(item) for item in node if isinstance(item, list)]
        rest = [item for item in node if isinstance(item, bytes)]
        return b"(" + b"".join(lists) + b"".join(b" " + item for item in rest) + b")"
    return b"(" + b" ".join(map(_render, node)) + b")"
