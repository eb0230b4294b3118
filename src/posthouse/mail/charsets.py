"""Octets to text, whatever they claim to be: a closed list of charsets, and a fall-back that always gives text.

    decode(b"J\\xf6rg", "iso-8859-1")     "Jörg"
    decode(b"J\\xc3\\xb6rg", "us-ascii")   "Jörg": what is UTF-8 is read as such whenever the label cannot be right
    codec("gb2312")                      "gb18030", the superset that is really used

The list is closed because Python's own registry also holds codecs that are no charsets (zip, rot13), that are slow
on hostile input (punycode) or that give back more than they were given (unicode_escape).
"""

from functools import lru_cache

# UTF-7 hides anything behind ASCII; nobody sends much of it.
UTF7_OCTETS = 1_000_000

# Python's codec, then the names it goes by in mail (lower case; IANA's and those programs have invented).
# Where a label is in practice used for a superset, the superset decodes it: what a strict codec would refuse
# comes out right, and the rest comes out the same.
_NAMES = """
utf-8 utf-8 utf8 unicode-1-1-utf-8 utf-8-mac x-unicode20utf8 utf_8
utf-7 utf-7 unicode-1-1-utf-7 csunicode11utf7
utf-16 utf-16 utf16 unicode ucs-2 iso-10646-ucs-2 csunicode
utf-16-be utf-16be unicodefffe
utf-16-le utf-16le
utf-32 utf-32 utf32
utf-32-be utf-32be
utf-32-le utf-32le
cp1252 iso-8859-1 iso8859-1 iso_8859-1 iso_8859-1:1987 iso88591 iso-ir-100 latin1 latin-1 l1 cp819 ibm819 csisolatin1
cp1252 windows-1252 cp1252 cp-1252 x-cp1252 win-1252 x-ansi ansi
iso8859-2 iso-8859-2 iso8859-2 iso_8859-2 iso_8859-2:1987 iso88592 latin2 l2 csisolatin2
iso8859-3 iso-8859-3 iso8859-3 iso_8859-3 latin3 l3 csisolatin3
iso8859-4 iso-8859-4 iso8859-4 iso_8859-4 latin4 l4 csisolatin4
iso8859-5 iso-8859-5 iso8859-5 iso_8859-5 cyrillic csisolatincyrillic
iso8859-6 iso-8859-6 iso8859-6 iso_8859-6 iso-8859-6-e iso-8859-6-i arabic asmo-708 csisolatinarabic
iso8859-7 iso-8859-7 iso8859-7 iso_8859-7 greek greek8 ecma-118 elot_928 csisolatingreek
iso8859-8 iso-8859-8 iso8859-8 iso_8859-8 iso-8859-8-i iso-8859-8-e hebrew csisolatinhebrew logical visual
cp1254 iso-8859-9 iso8859-9 iso_8859-9 latin5 l5 csisolatin5
iso8859-10 iso-8859-10 iso8859-10 latin6 l6 csisolatin6
cp874 iso-8859-11 iso8859-11 tis-620 tis620 windows-874 cp874 dos-874 x-windows-874
iso8859-13 iso-8859-13 iso8859-13
iso8859-14 iso-8859-14 iso8859-14 latin8
iso8859-15 iso-8859-15 iso8859-15 iso_8859-15 latin-9 latin9 l9 csisolatin9
iso8859-16 iso-8859-16 iso8859-16 latin10
cp1250 windows-1250 cp1250 x-cp1250 win-1250
cp1251 windows-1251 cp1251 cp-1251 x-cp1251 win-1251
cp1253 windows-1253 cp1253 x-cp1253
cp1254 windows-1254 cp1254 x-cp1254
cp1255 windows-1255 cp1255 x-cp1255
cp1256 windows-1256 cp1256 x-cp1256
cp1257 windows-1257 cp1257 x-cp1257
cp1258 windows-1258 cp1258 x-cp1258
koi8-r koi8-r koi8r koi8 koi cskoi8r
koi8-u koi8-u koi8u koi8-ru
koi8-t koi8-t
cp437 cp437 ibm437 437 cspc8codepage437
cp850 cp850 ibm850 850
cp852 cp852 ibm852 852
cp855 cp855 ibm855
cp857 cp857 ibm857
cp858 cp858 ibm00858
cp860 cp860 ibm860
cp861 cp861 ibm861
cp862 cp862 ibm862 dos-862
cp863 cp863 ibm863
cp864 cp864 ibm864
cp865 cp865 ibm865
cp866 cp866 ibm866 866 csibm866
cp869 cp869 ibm869
mac-roman macintosh mac x-mac-roman macroman csmacintosh
mac-cyrillic x-mac-cyrillic x-mac-ukrainian
mac-greek x-mac-greek
mac-turkish x-mac-turkish
mac-latin2 x-mac-ce x-mac-centraleurroman
mac-iceland x-mac-icelandic
iso2022_jp_ext iso-2022-jp csiso2022jp iso-2022-jp-ms iso-2022-jp-ext cp50220 cp50221
iso2022_jp_1 iso-2022-jp-1
iso2022_jp_2 iso-2022-jp-2 csiso2022jp2
iso2022_jp_3 iso-2022-jp-3
iso2022_kr iso-2022-kr csiso2022kr
cp932 shift_jis shift-jis sjis x-sjis ms_kanji windows-31j cp932 csshiftjis x-ms-cp932
euc_jp euc-jp eucjp x-euc-jp x-euc cseucpkdfmtjapanese
cp949 euc-kr euckr ks_c_5601-1987 ks_c_5601-1989 ks_c_5601 ksc5601 ksc_5601 korean windows-949 cp949 uhc cseuckr
johab johab
gb18030 gb18030 gb2312 gb_2312-80 gbk cp936 windows-936 x-gbk euc-cn gb_2312 chinese csgb2312
hz hz-gb-2312 hz
cp950 big5 big5-eten cn-big5 x-x-big5 csbig5 cp950 windows-950
big5hkscs big5-hkscs
ptcp154 ptcp154 pt154
hp-roman8 hp-roman8 roman8
"""
_CODECS = {name: line.split()[0] for line in _NAMES.strip().splitlines() for name in line.split()[1:]}

# Labels that say nothing: the text is UTF-8 where it can be.
_UNTOLD = frozenset(("", "us-ascii", "ascii", "ansi_x3.4-1968", "iso646-us", "us", "unknown-8bit", "x-unknown", "8bit"))


def decode(octets: bytes, charset: str = "") -> str:
    """Text of `octets` by the MIME charset named; never raises.

    Where the charset is unknown or cannot be right, the text is UTF-8 if the octets are that, else Windows-1252
    (the superset of ISO-8859-1); what remains undecodable becomes U+FFFD. Line ends are as in the octets.
    """
    name = codec(charset)
    if name is None or name == "utf-8":
        try:
            return octets.decode()
        except UnicodeDecodeError:
            return octets.decode("utf-8" if name else "cp1252", "replace")
    if name == "utf-7" and len(octets) > UTF7_OCTETS:
        return octets.decode("ascii", "replace")
    try:
        return octets.decode(name)
    except UnicodeDecodeError:
        pass
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode(name, "replace")


@lru_cache(maxsize=512)
def codec(charset: str) -> str | None:
    """Python's codec for a MIME charset name in any case; None where it is unknown, unsafe, or says nothing."""
    name = charset.strip().strip("\"'").lower()
    return None if name in _UNTOLD else _CODECS.get(name) or _CODECS.get(name.replace("_", "-"))
