"""The story of a message, read from nothing but its octets and what the checks say of them.

    way = hops(message.header)                      the Received fields, bottom to top, with true delays
    trust = find(way, hosts=own)                    which of them can be believed
    known = circumstances(message.header, trust, Given(ip="192.0.2.1"))
    story = tell(message, trust, known, Checked(…), now)

`consistency` says what in the way cannot be true, `leaks` what the message gives away, `recorded` what others found
before, `strands` how envelope and header belong together, `judgement` all of it in one sentence.
"""

from posthouse.checks.story.checked import Checked
from posthouse.checks.story.circumstances import GIVEN, Circumstances, Given, circumstances
from posthouse.checks.story.hops import Hop, hops
from posthouse.checks.story.leaks import Leak
from posthouse.checks.story.recorded import Note
from posthouse.checks.story.strands import Strand
from posthouse.checks.story.telling import Story, tell
from posthouse.checks.story.trust import Trust, find

__all__ = [
    "GIVEN", "Checked", "Circumstances", "Given", "Hop", "Leak", "Note", "Story", "Strand", "Trust", "circumstances",
    "find", "hops", "tell",
]
