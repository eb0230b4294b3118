"""What the targets begin with: one or a few examples of each kind, small, and as various as the kind allows."""

import gzip

from posthouse.checks.zonefile import ZoneDns

ADDRESSES = (
    b"you@example.org",
    b'"a b\\"c"@example.org',
    "jörg@bücher.example".encode(),
    b"u%r@[192.0.2.1]",
    b"a@[IPv6:2001:db8::1]",
    b"r!u@x.test",
    b"@a.test:u@r.test",
    b"postmaster",
    b"a.b+tag@sub.example.org",
    b"(c)a@b.test",
    "用户@例え.テスト".encode(),
)
ADDRESS_WORDS = (
    b"@example.org",
    b"@[192.0.2.1]",
    b"@[IPv6:",
    b"xn--bcher-kva.example",
    b"xn--",
    b'"',
    b"\\",
    b"Team: ",
    b";",
    b"<",
    b">",
    b",",
    b"=?utf-8?q?=C3=A9?=",
    b"(comment)",
    "．".encode(),
    "＠".encode(),
    b"..",
    b"\xe2\x80\x8b",
    b"\xcc\x81",
    b"\xc3\x9f",
    b"\xe2\x84\xaa",
)
DOMAINS = (
    b"example.org",
    "Bücher.Example".encode(),
    b"xn--bcher-kva.example",
    b"a-b.c1.test",
    "faß.example".encode(),
    b"EXAMPLE.",
)
ADDRESS_LISTS = (
    b'Ann <ann@x.test>, "B, en" <b@y.test>, c@z.test (Carol)',
    b"Team: a@x.test, b@x.test;, Undisclosed:;",
    b"=?utf-8?q?J=C3=B6rg?= <j@x.test>",
    b'<a@x>b@y, a@x,<b@y>, "a@x" <@a,@b:c@d>',
    b"A. B. <a@b>",
    b",,;:<>()",
)
WORDS = (
    b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?b?4oCm?=",
    b"=?iso-8859-1?Q?a_b?= c =?us-ascii*en?q?x?=",
    b"plain",
    b"=?x?y?z?=",
    b"=?utf-8?b?4oCm4oC?=",
    "offen Grüße".encode(),
)
CONTENT_TYPES = (
    b'text/plain; charset="utf-8"; format=flowed',
    b'multipart/mixed; boundary="a b"',
    b"application/x; name*0*=utf-8''a%C3%A9; name*1=b",
    b"text/html (c) ; charset = us-ascii ;; x",
    b"TEXT/PLAIN; x*=iso-8859-1'en'%E9; x=y",
    b"text; a",
    b"/",
    b'a/b; c="\\"\\\\"',
)
DATES = (
    b"Sat, 1 Mar 2025 18:15:30 +0000",
    b"1 Mar 25 18:15 EST",
    b"Sat (x), 01 Mar 2025 18:15:30.123 -0800 (PST)",
    b"31 Feb 2025 25:61:61 +9999",
    b"Thu, 1 Jan 1970 00:00:00 -0000",
    b"2025-03-01T18:15:30Z",
)
RECEIVED = (
    (
        b"from mx.far.test (mx.far.test [192.0.2.1]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
        b"(256/256 bits)) by mx.posthouse.test"
        b" (Posthouse) with ESMTPS id 06xkd7 for <you@posthouse.test>; Sat, 1 Mar 2025 18:15:30 +0000"
    ),
    b"from [192.0.2.1] (helo=x) by y with esmtp (Exim 4.9) id 1a-2b; 1 Mar 2025 18:15:30 -0000",
    b"(qmail 123 invoked by uid 0); date",
    b"by x; junk",
    b"from a by b via c with d id e for f; g",
)
RESULTS = (
    (
        b"mx.posthouse.test; spf=pass smtp.mailfrom=far.test; dkim=pass (2048) header.d=far.test "
        b'header.i=@far.test reason="good"'
    ),
    b"x.test/1; none",
    b'"a b"; dmarc=fail (p=none) header.from=a.test',
    b"x; arc=pass; iprev=temperror policy.iprev=192.0.2.1",
)
_PLAIN = (
    b"Received: from a (a [192.0.2.1]) by b with ESMTPS id 1 for <c@d.test>; Sat, 1 Mar 2025 18:15:30 +0000\r\n"
    b"From: Ann <ann@far.test>\r\nTo: you@posthouse.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Sat, 1 Mar 2025 18:15:30 +0000\r\nMessage-ID: <1@far.test>\r\n"
)
HEADERS = (
    _PLAIN + b"\r\n",
    b"From: a@b\r\nFrom: c@d\r\nSender: e@f\r\n\r\n",
    b" From: a@b\r\nX : y\r\n\r\n",
    b"From:\r\n a@b\r\n\r\nbody",
    b"A: b\nC: d\n\ne",
    b"no colon\r\n\r\n",
    b'From: <a@x>b@y, "c\\"" <d@e>\r\nReply-To: Team: a@b;\r\n\r\n',
    b"\r\n",
    b"",
)
HEADER_WORDS = (
    b"From: ",
    b"\r\nFrom: ",
    b"\r\nSender: ",
    b"\r\nSubject: ",
    b"\r\nDate: ",
    b"\r\n ",
    b"\r\n\t",
    b": ",
    b" :",
    b"<a@b.test>",
    b"\r\n\r\n",
    b"\r\nResent-From: ",
    b"\r\nX",
    b"=?utf-8?b?4oCm?=",
    b"\r\nMessage-ID: <",
    b"\r\nReceived: ",
)
_MULTIPART = (
    _PLAIN + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n"
    b"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nh=C3=A9\r\n--c\r\nContent-Type: text/html\r\n"
    b"\r\n<p>h&eacute;</p>\r\n--c--\r\n"
    b"--b\r\nContent-Type: application/pdf; name*=utf-8''%C3%BC.pdf\r\nContent-Disposition"
    b": attachment; filename=x.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    + _PLAIN
    + b"\r\ninner\r\n--b--\r\nepilogue\r\n"
)
MESSAGES = (
    _PLAIN + b"\r\nHello.\r\n",
    _MULTIPART,
    b"",
    b"\r\n",
    b"no header at all",
    b"Content-Type: multipart/x\r\n\r\n--\r\n",
    b"Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: y\r\n\r\nz\r\n--x\r\n",
    b"Content-Type: message/partial\r\n\r\n",
)
MESSAGE_WORDS = (
    *HEADER_WORDS,
    b"\r\n--b\r\n",
    b"\r\n--b--\r\n",
    b"--c\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Disposition: attachment\r\n",
    b"charset=utf-16",
    b"charset=iso-2022-jp",
    b"boundary=",
    b"<script>",
    b"&#",
    b"begin 644 x\r\n",
)
SIGNED = (
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=far.test; s=k; t=1740000000; "
    b"x=1840000000; l=3; i=@far.test;\r\n"
    b" h=from:to:subject:from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n BBBB\r\n"
    + _PLAIN
    + b"\r\nHello.\r\n",
    b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=far.test; s=k; t=1; b=AAAA\r\n"
    b"ARC-Message-Signature: i=1; a=ed25519-sha256; c=relaxed; d=far.test; s=e; h=from; bh=AAAA; b=AAAA\r\n"
    b"ARC-Authentication-Results: i=1; far.test; spf=pass smtp.mailfrom=a@b.test\r\n" + _PLAIN + b"\r\n",
)
SIGNATURE_WORDS = (
    b"; h=from",
    b"; bh=",
    b"; b=",
    b"; d=far.test",
    b"; s=k",
    b"; s=e",
    b"; i=@x",
    b"; l=0",
    b"; q=dns/txt",
    b"; z=From:a",
    b"c=simple/relaxed",
    b"a=ed25519-sha256",
    b"=\r\n ",
    b"; i=2",
    b"cv=pass",
    b"DKIM-Signature: ",
    b"\r\n\r\n",
    b"; t=0",
    b"; x=9",
)
_KEY = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"  # noqa: E501 -- the key of RFC 6376's example
DKIM_RECORDS = (
    f"v=DKIM1; k=rsa; h=sha256; s=email; t=y:s; n=note; p={_KEY}".encode(),
    b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    b"p=",
    b"k=rsa",
)
DNS = ZoneDns(
    {
        "k._domainkey.far.test": {"TXT": [f"v=DKIM1; p={_KEY}"]},
        "e._domainkey.far.test": {"TXT": ["v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]},
        "_dmarc.far.test": {"TXT": ["v=DMARC1; p=quarantine; rua=mailto:d@far.test"]},
        "far.test": {"A": ["192.0.2.1"], "MX": ["10 far.test"], "TXT": ["v=spf1 mx -all"]},
    }
)
SPF_RECORDS = (
    (
        b"v=spf1 mx a:b.test ip4:192.0.2.0/24 ip6:2001:db8::/32 include:b.test exists:%{ir}.%{l1r+-}._spf."
        b"%{d} ~all exp=e.%{d}"
    ),
    b"v=spf1 redirect=_spf.b.test",
    b"v=spf1 +all",
    b"v=spf1 a/24//64 ptr:b.test ?mx/30 x=y -all",
)
SPF_WORDS = (
    b" include:",
    b" a:",
    b" mx",
    b" ip4:",
    b" ip6:",
    b" exists:",
    b" redirect=",
    b" exp=",
    b" -all",
    b"%{i}",
    b"%{d2r}",
    b"%{l",
    b"}",
    b"/24",
    b"//64",
    b"%%",
    b"%_",
    b"b.test",
    b"far.test",
)
DMARC_RECORDS = (
    (
        b"v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=r; rua=mailto:a@x.test!10m,"
        b"mailto:b@y.test; ruf=mailto:c@z.test; fo=1:d; t=y; psd=n"
    ),
    b"v=DMARC1;p=none",
    b"v=DMARC1",
)
DRAWINGS = (
    (
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" version="1.2" baseProfile="tin'
        b'y-ps" viewBox="0 0 9 9">'
        b'<title>x</title><defs><linearGradient id="g"><stop offset="0" stop-color="#fff"/></linearGradient></defs>'
        b'<g fill="url(#g)"><path d="M0 0L9 9z"/><circle r="2"/></g></svg>'
    ),
    gzip.compress(
        (
            b'<svg xmlns="http://www.w3.org/2000/svg" version="1.2" baseProfile="tiny-ps" viewBox="0 '
            b'0 1 1"><title>y</title></svg>'
        ),
        mtime=0,
    ),
)
DRAWING_WORDS = (
    b"<script>",
    b"<a xlink:href='",
    b"<image href='",
    b"<use href='#g'/>",
    b"<style>",
    b"url(http://x)",
    b"<!ENTITY x 'y'>",
    b"&x;",
    b"<!DOCTYPE svg [",
    b"<g>",
    b"</g>",
    b' onload="x"',
    b'fill="',
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
)
LOGOTYPES = (
    bytes.fromhex("3081a0a2819da0819a3081973081943081913081 8e160d696d6167652f7376672b786d6c"),
    b"\x30\x00",
    b"\x30\x80",
)
_REPORT = (
    b'<?xml version="1.0"?><feedback><report_metadata><org_name>far</org_name><email>a@far.test</email'
    b"><report_id>1</report_id>"
    b"<date_range><begin>1740000000</begin><end>1740086400</end></date_range></report_metadata>"
    b"<policy_published><domain>posthouse.test</domain>"
    b"<adkim>r</adkim><p>none</p><pct>100</pct></policy_published><record><row><source_ip>"
    b"192.0.2.1</source_ip><count>2</count>"
    b"<policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evalua"
    b"ted></row><identifiers>"
    b"<header_from>posthouse.test</header_from></identifiers><auth_results><dkim><domain>x</domain"
    b"><result>pass</result></dkim>"
    b"<spf><domain>y</domain><result>fail</result></spf></auth_results></record></feedback>"
)
REPORTS = (
    _REPORT,
    (
        b"From: a@far.test\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n"
        b"\r\nH4sIAAAAAAAAA0vMBAArtq8nAgAAAA==\r\n"
    ),
    (
        b"From: a@far.test\r\nContent-Type: multipart/report; report-type=feedback-report; boun"
        b"dary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n"
        b"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nVersion: "
        b"1\r\nReported-Domain: x.test\r\n\r\n--b--\r\n"
    ),
)
ARCHIVES = (
    gzip.compress(_REPORT, mtime=0),
    _REPORT,
    bytes.fromhex(
        "504b03041400000000000000210000000000010000000100000001000000786100504b01021400140000000000000021"
        "000000000001000000010000000100"
        "000000000000000000000000000000000078504b050600000000010001002f0000002000000000 00"
    ),
)
TLS_REPORTS = (
    (
        b'{"organization-name":"far","date-range":{"start-datetime":"2025-03-01T00:00:00Z","en'
        b'd-datetime":"2025-03-01T23:59:59Z"},'
        b'"contact-info":"a@far.test","report-id":"1","policies":[{"policy":{"policy-type":"sts",'
        b'"policy-string":["version: STSv1"],'
        b'"policy-domain":"posthouse.test","mx-host":["mx.posthouse.test"]},"summary":{"total-successful-session-count":5,'
        b'"total-failure-session-count":1},"failure-details":[{"result-type":"certificate-expired",'
        b'"sending-mta-ip":"192.0.2.1",'
        b'"failed-session-count":1}]}]}'
    ),
)
STS_POLICIES = (
    b"version: STSv1\r\nmode: enforce\r\nmx: mx.x.test\r\nmx: *.y.test\r\nmax_age: 604800\r\n",
    b"version: STSv1\nmode: none\nmax_age: 1",
)
ZONES = (
    (
        b"$ORIGIN far.test.\n@ 300 IN MX 10 mx\nmx IN A 192.0.2.1\n  IN AAAA 2001:db8::1\n@ IN "
        b'TXT "v=spf1 " "mx -all"\n*.w IN CNAME mx\n'
    ),
    b'{"far.test": {"TXT": ["v=spf1 -all"], "MX": ["10 mx.far.test"]}, "slow.test": {"ANY": "TIMEOUT"}}',
)
SETTINGS = (
    (
        b'hostname = "mx.example.org"\n[queue]\ngaps = ["5m", "1h"]\nexpire = "5d"\n[relay.routes]\n'
        b'"a.test" = "b.test:25"\n[listen]\nsmtp = ["*:25"]\n'
    ),
    (
        b'hostname = "mx.example.org"\n[limits]\nmessage_size = "50 MiB"\nconnections_per_adress '
        b'= 5\n[dns]\nservers = ["127.0.0.1:53"]\n'
    ),
)
