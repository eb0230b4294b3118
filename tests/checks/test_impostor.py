"""Messages that pretend to be from somebody else, and those that only look so."""


import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks import phrases
from posthouse.checks.finding import Finding, Severity
from posthouse.checks.impostor import Acquaintance, Circle, Impostor, check
from posthouse.checks.lookalike import Index, Kin, Known
from posthouse.checks.lookalike import check as compare
from posthouse.mail.address import Address
from posthouse.mail.message import Message

KNOWN = [Known("firm.example", Kin.OWN), Known("paypal.com", Kin.PROTECTED, "PayPal"),
         Known("bank.example", Kin.PROTECTED, "Bank of Example")]
HOUSE = Circle(
    [Acquaintance("Erika Chef", Address.parse("erika@firm.example"), own=True)], known=KNOWN,
)
CIRCLE = Circle(
    [
        Acquaintance("Dr. Anna Schmidt", Address.parse("anna@partner.example")),
        Acquaintance("山田太郎", Address.parse("yamada@partner.example")),
        Acquaintance("Info", Address.parse("info@partner.example")),
    ],
    beside=HOUSE,
)
ORDER = "Bitte überweisen Sie heute noch 9.800 EUR auf das neue Konto, IBAN folgt."


def letter(*lines: str, body: str = "Hello") -> Message:
    return Message.parse("\r\n".join([*lines, "", body]).encode())


def examine(*lines: str, body: str = "Hello", resembled: tuple[Finding, ...] = ()) -> Impostor:
    return check(letter(*lines, body=body), CIRCLE, resembled)


def told(found: Impostor) -> dict[str, tuple[Severity, str]]:
    return {finding.kind: (finding.severity, finding.text) for finding in found.findings}


def test_an_honest_letter_of_a_stranger_and_of_a_friend_is_left_alone() -> None:
    stranger = examine("From: Max Neu <max@new.example>", "Subject: Question")
    assert stranger.findings == ()
    assert stranger.first_contact
    assert (stranger.verdict.method, stranger.verdict.result) == ("impostor", "none")
    assert stranger.verdict.identity == "max@new.example"
    friend = examine("From: Anna Schmidt <anna@partner.example>", body=ORDER)
    assert friend.findings == ()
    assert not friend.first_contact


def test_another_address_in_the_name_is_told() -> None:
    found = told(examine('From: "erika@firm.example" <x@evil.example>'))
    expected = "calls itself erika@firm.example, but is from x@evil.example"
    assert found["embedded-address"] == (Severity.HIGH, expected)
    found = told(examine('From: "Erika (erika@other.example)" <x@evil.example>'))
    assert found["embedded-address"][0] is Severity.MEDIUM
    encoded = "From: =?utf-8?q?erika=40firm=2Eexample?= <x@evil.example>"
    assert "embedded-address" in told(examine(encoded))


def test_ones_own_address_in_the_name_is_fine() -> None:
    assert examine('From: "X@Evil.example" <x@evil.example>').findings == ()
    assert examine('From: "news@evil.example" <x@mail.evil.example>').findings == ()


@pytest.mark.parametrize(
    "name", ["Anna Schmidt", "Schmidt, Anna", "ANNA SCHMIDT", "Anna Schmidt (Partner)", "Prof. Anna Schmidt",
             "Аnna Schmidt", "Anna Schm1dt", "Änna  Schmidt"]
)
def test_the_name_of_an_acquaintance_before_a_strange_address_is_told(name: str) -> None:
    found = told(examine(f'From: "{name}" <anna.schmidt77@gmail.com>'))
    severity, text = found["namesake"]
    assert severity is Severity.HIGH
    assert text.startswith("has the name of Dr. Anna Schmidt <anna@partner.example>, but is from anna.schmidt77@")
    assert text.endswith("@gmail.com, who is not known here")
    assert told(examine(f'From: "{name}" <a@strange.example>'))["namesake"][0] is Severity.MEDIUM


def test_the_name_of_one_of_our_own_people_weighs_more() -> None:
    found = told(examine("From: Erika Chef <erika@strange.example>"))
    assert found["namesake"][0] is Severity.HIGH
    assert "erika@firm.example" in found["namesake"][1]


def test_names_that_many_have_and_new_addresses_of_the_same_firm_are_fine() -> None:
    assert examine("From: Anna <a@strange.example>").findings == ()
    assert examine("From: Info <info@strange.example>").findings == ()
    assert examine("From: Info Support Team <info@strange.example>").findings == ()
    assert examine("From: Anna Schmidt <a.schmidt@mail.partner.example>").findings == ()


def test_a_name_of_one_word_counts_where_it_is_a_whole_name() -> None:
    assert "namesake" in told(examine("From: 山田太郎 <y@strange.example>"))


def test_a_protected_name_before_a_strange_address_is_told() -> None:
    found = told(examine('From: "PayPaI Service" <service@strange.example>'))
    assert found["brand"] == (Severity.MEDIUM, "calls itself PayPal, but is from strange.example")
    assert "brand" in told(examine('From: "Your Bank of Example" <b@strange.example>'))
    assert examine('From: "PayPal" <service@mail.paypal.com>').findings == ()
    assert examine('From: "Bank of Elsewhere" <b@strange.example>').findings == ()


def test_an_answer_that_would_go_elsewhere_is_told() -> None:
    found = told(examine("From: Max <max@new.example>", "Reply-To: max@gmail.com"))
    assert found["reply-to"] == (Severity.MEDIUM, "is from max@new.example, but an answer would go to max@gmail.com")
    found = told(examine("From: Max <max@new.example>", "Reply-To: max@other.example"))
    assert found["reply-to"][0] is Severity.LOW
    found = told(examine("From: Max <max@new.example>", "Reply-To: max@nevv.example"))
    assert found["reply-to"][0] is Severity.MEDIUM


@pytest.mark.parametrize(
    "lines",
    [
        ["Reply-To: other@new.example"],
        ["Reply-To: max@mail.new.example"],
        ["Reply-To: anna@partner.example"],
        ["Reply-To: list@lists.example", "List-Id: <list.lists.example>"],
        ["Reply-To: junk"],
        ["Reply-To:"],
    ],
)
def test_an_answer_that_stays_or_goes_to_somebody_known_is_fine(lines: list[str]) -> None:
    assert examine("From: Max <max@new.example>", *lines).findings == ()


def test_text_that_is_turned_or_cannot_be_seen_is_told() -> None:
    assert told(examine("From: \u202eelpmaxe <x@evil.example>"))["hidden"][0] is Severity.HIGH
    assert told(examine("From: Max <x@evil.example>", "Subject: a\u202eb"))["hidden"][0] is Severity.HIGH
    assert told(examine("From: Pay\u200bPal <x@evil.example>"))["hidden"][0] is Severity.MEDIUM
    assert told(examine("From: Mаx Neu <x@evil.example>"))["mixed-scripts"][0] is Severity.MEDIUM
    attached = letter(
        "From: Max <x@evil.example>", "MIME-Version: 1.0",
        "Content-Type: application/octet-stream; name*=utf-8''invoice%E2%80%AEfdp.exe",
        "Content-Disposition: attachment; filename*=utf-8''invoice%E2%80%AEfdp.exe",
    )
    assert "has an attachment whose name is read backwards" in [f.text for f in check(attached, CIRCLE).findings]
    assert examine("From: Иван Петров <x@evil.example>", "Subject: Привет").findings == ()


def test_first_contact_pressure_money_and_an_answer_elsewhere_add_up_to_a_warning() -> None:
    found = examine("From: Max Neu <max@new.example>", "Reply-To: max@gmail.com", "Subject: Dringend", body=ORDER)
    severity, text = told(found)["bec"]
    assert severity is Severity.HIGH
    assert text.startswith("may be an attempt to get at money: its author is not known here; an answer")
    assert "it is about money (“bitte überweisen”, “überweisen”, “neue konto”)" in text
    assert "it presses for time (“dringend”, “heute noch”)" in text
    assert len(found.signs) == 4


def test_a_warning_is_never_more_than_a_warning() -> None:
    found = examine("From: Erika Chef <erika@gmail.com>", "Reply-To: e@other.example", body=ORDER)
    assert {finding.severity for finding in found.findings} >= {Severity.HIGH}
    assert found.verdict.result == "softfail"


def test_every_sign_but_one_is_not_yet_an_alarm() -> None:
    hurried = examine("From: Max Neu <max@new.example>", body=ORDER)
    assert told(hurried)["bec"][0] is Severity.LOW
    assert "bec" not in told(examine("From: Max <max@new.example>", "Reply-To: m@gmail.com", body="Dringend!"))
    assert "bec" not in told(examine("From: Max <max@new.example>", body="Ihre Zahlung ist eingegangen."))
    elsewhere = examine("From: Max <max@new.example>", "Reply-To: m@gmail.com", body="Neue Kontodaten folgen.")
    assert told(elsewhere)["bec"][0] is Severity.MEDIUM


def test_a_lookalike_is_a_sign_as_well() -> None:
    resembled = compare("f1rm.example", Index(KNOWN)).findings
    assert resembled
    found = examine("From: Max <max@f1rm.example>", body=ORDER, resembled=resembled)
    assert told(found)["bec"][0] is Severity.HIGH


def test_html_is_read_as_well() -> None:
    message = letter(
        "From: Max <max@new.example>", "Reply-To: m@gmail.com", "MIME-Version: 1.0", "Content-Type: text/html",
        body="<p>Please process a wire <b>transfer</b> <i>urgently</i></p>",
    )
    assert told(check(message, CIRCLE))["bec"][0] is Severity.HIGH


def test_a_message_without_an_author_gives_no_findings() -> None:
    for lines in ((), ("From: undisclosed:;",), ("From: junk",)):
        assert examine("Subject: x", *lines).verdict.result == "none"


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        ("I need you to process a payment, as soon as possible. Don't call me.", {"payment", "pressure", "secrecy"}),
        ("Le virement est très urgent", {"payment", "pressure"}),
        ("Necesito una transferencia cuanto antes", {"payment", "pressure"}),
        ("Il bonifico va fatto entro oggi", {"payment", "pressure"}),
        ("Preciso de uma transferência ainda hoje", {"payment", "pressure"}),
        ("De betaling moet vandaag nog", {"payment", "pressure"}),
        ("Proszę o pilny przelew", {"payment", "pressure"}),
        ("En brådskande betalning", {"payment", "pressure"}),
        ("Betaling haster", {"payment", "pressure"}),
        ("Platba je naléhavá", {"payment", "pressure"}),
        ("Acil havale gerekiyor", {"payment", "pressure"}),
        ("Срочно оплатите счёт, строго конфиденциально", {"payment", "pressure", "secrecy"}),
        ("Терміново переказати", {"payment", "pressure"}),
        ("请尽快汇款，保密", {"payment", "pressure", "secrecy"}),
        ("至急、振込をお願いします", {"payment", "pressure"}),
        ("긴급 송금", {"payment", "pressure"}),
        ("ＵＲＧＥＮＴ ｗｉｒｅ transfer", {"payment", "pressure"}),
        ("Shall we have lunch on Friday?", set()),
        ("", set()),
    ],
)
def test_words_are_known_in_many_languages(text: str, topics: set[str]) -> None:
    assert set(phrases.find(text)) == topics


def test_what_is_looked_at_and_told_has_a_bound() -> None:
    assert phrases.find("x " * phrases.TEXT_CHARACTERS + "urgent") == {}
    assert len(phrases.find("urgent immediately asap right now last reminder")["pressure"]) == 3
    # Whoever makes a word endless must not push the rest of a warning out of sight.
    assert phrases.find("urgent" + "x" * 3_000)["pressure"] == ("urgent" + "x" * 53 + "…",)


@given(st.text(max_size=300), st.text(max_size=60))
def test_no_text_whatever_breaks_the_check(text: str, name: str) -> None:
    phrases.find(text)
    message = Message.parse(f"From: {name} <a@b.example>\r\nReply-To: {text}\r\n\r\n{text}".encode(errors="replace"))
    found = check(message, CIRCLE)
    assert found.verdict.result in ("none", "neutral", "softfail")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("posthouse.test", "calls itself posthouse.test, but is from evil.example"),
        ("www.posthouse.test", "calls itself www.posthouse.test, but is from evil.example"),
        ("posthouse.test Helpdesk", "calls itself posthouse.test, but is from evil.example"),
        ("Ann of PostHouse.test", "calls itself posthouse.test, but is from evil.example"),
        ("ｐosthouse．test", "calls itself posthouse.test, but is from evil.example"),
        ("Posthouse IT", "calls itself posthouse.test, but is from evil.example"),
        ("Your P0sthouse Support-Team", "calls itself posthouse.test, but is from evil.example"),
        ("PostHouse", "calls itself posthouse.test, but is from evil.example"),
        ("p0sthouse.test security",
         "calls itself p0sthouse.test, which looks like posthouse.test, but the o is a 0"),
        ("köln-messe.test", "calls itself xn--kln-messe-07a.test, but is from evil.example"),
        ("Köln Messe Service", "calls itself xn--kln-messe-07a.test, but is from evil.example"),
    ],
)
def test_the_name_of_our_own_domain_before_a_strange_address_is_told(name: str, sentence: str) -> None:
    ours = Circle(known=[Known("posthouse.test", Kin.OWN), Known("xn--kln-messe-07a.test", Kin.OWN)])
    found = told(check(letter(f'From: "{name}" <x@evil.example>'), Circle(beside=ours)))
    assert found["brand"] == (Severity.MEDIUM, sentence)
    assert told(check(letter(f'From: "{name}" <x@mail.posthouse.test>'), ours)) == {}


@pytest.mark.parametrize(
    "name", ["Ann Schmidt", "Frau Schmidt", "Schmidt & Partner", "Support", "Office Team", "St.Gallen", "Dr.Ann.Smith",
             "evil.example", "Version 1.2.3", "IT Support"]
)
def test_who_merely_shares_a_word_with_our_domain_is_left_alone(name: str) -> None:
    ours = Circle(known=[Known("schmidt.test", Kin.OWN), Known("office.test", Kin.OWN), Known("it.test", Kin.OWN)])
    assert check(letter(f'From: "{name}" <x@evil.example>'), ours).findings == ()


@pytest.mark.parametrize(
    "name",
    [
        "x@evil.example erika@firm.example",
        "erika＠firm.example",
        "𝐞𝐫𝐢𝐤𝐚@𝐟𝐢𝐫𝐦.𝐞𝐱𝐚𝐦𝐩𝐥𝐞",
        "erika @ firm.example",
        "erika@\u200bfirm.example",
        "erika@firm。example",
        "erika@other.example, erika@firm.example",
        "\u00a0" * 300 + "erika@firm.example",
        "a@b.cc " * 20 + "erika@firm.example",
    ],
)
def test_another_address_in_the_name_is_found_however_it_is_written(name: str) -> None:
    found = told(examine(f'From: "{name}" <x@evil.example>'))
    expected = "calls itself erika@firm.example, but is from x@evil.example"
    assert found["embedded-address"] == (Severity.HIGH, expected)


def test_an_address_in_the_name_that_only_looks_like_ours_is_told() -> None:
    found = told(examine('From: "erika@fіrm.example" <x@evil.example>'))
    severity, text = found["embedded-address"]
    assert severity is Severity.HIGH
    assert "which looks like firm.example, but the i is a Cyrillic і (U+0456)" in text
    assert text.endswith(", and is from x@evil.example")


def test_white_space_around_an_at_sign_makes_no_address_of_a_stranger() -> None:
    assert examine('From: "Max @ other.example" <x@evil.example>').findings == ()
    assert examine('From: "@firm.example" <x@mail.firm.example>').findings == ()


def test_a_name_made_to_cost_time_costs_little() -> None:
    for name in ("a@" * 4_000, "a-" * 4_000, "a." * 4_000, "aA" * 4_000, "ﷺ" * 4_000, "a @ " * 2_000 + "b.example"):
        message = letter(f'From: "{name}" <x@evil.example>')
        for _ in range(100):
            # A message for as many accounts. What is not linear runs into the time-out of the tests.
            check(message, CIRCLE)


@pytest.mark.parametrize(
    "lines",
    [
        ["Reply-To: x@gmail.com", "List-Id: <a.b>"],
        ["Reply-To: x@gmail.com", "List-Id: <a.gmail.com>"],
        ["Reply-To: x@gmail.com", "List-Post: <mailto:x@gmail.com>"],
        ["Reply-To: x@gmail.com", "List-Id: <a.new.example>"],
        ["Reply-To: a@new.example, b@new.example, c@new.example, d@new.example, e@new.example, x@gmail.com"],
        ["Reply-To: other@other.example, x@gmail.com"],
        ["Reply-To: a@new.example", "Reply-To: x@gmail.com"],
        ["Reply-To: g: x@gmail.com;"],
        ["Reply-To: =?utf-8?q?x=40gmail=2Ecom?="],
    ],
)
def test_no_sender_can_switch_off_what_is_told_of_his_reply_to(lines: list[str]) -> None:
    for proven in (None, frozenset({"new.example"})):
        found = told(check(letter("From: Max <max@new.example>", *lines), CIRCLE, proven=proven))
        assert found["reply-to"] == (
            Severity.MEDIUM, "is from max@new.example, but an answer would go to x@gmail.com"
        )


def test_a_list_that_is_proven_may_send_answers_to_itself() -> None:
    message = letter("From: Max <max@new.example>", "Reply-To: list@lists.example", "List-Id: A list <l.lists.example>")
    assert check(message, CIRCLE, proven=frozenset({"new.example", "mx.lists.example"})).findings == ()
    assert told(check(message, CIRCLE, proven=frozenset({"new.example"})))["reply-to"][0] is Severity.LOW
    posted = letter(
        "From: Max <max@new.example>", "Reply-To: l@lists.example", "List-Post: <mailto:l@lists.example>"
    )
    assert check(posted, CIRCLE, proven=frozenset({"lists.example"})).findings == ()


def test_a_known_list_that_writes_in_its_own_name_may_send_answers_to_the_author() -> None:
    lines = ["From: Max via List <anna@partner.example>", "Reply-To: max@gmail.com", "List-Id: <l.partner.example>"]
    assert told(check(letter(*lines), CIRCLE, proven=frozenset({"partner.example"})))["reply-to"][0] is Severity.LOW
    assert told(check(letter(*lines), CIRCLE, proven=frozenset()))["reply-to"][0] is Severity.MEDIUM


def test_an_answer_that_would_go_to_a_lookalike_of_ours_is_told() -> None:
    for listed in ((), ("List-Id: <l.f1rm.example>",)):
        found = told(examine("From: Max <max@new.example>", "Reply-To: Erika <erika@f1rm.example>", *listed))
        severity, text = found["reply-to"]
        assert severity is Severity.HIGH
        assert text.startswith("is from max@new.example, but an answer would go to erika@f1rm.example, whose domain ")
        assert text.endswith("whose domain looks like firm.example, but the i is a 1")


def test_an_answer_that_would_go_to_very_many_is_told_and_costs_little() -> None:
    many = "Reply-To: " + ", ".join(f"x@{number}.example" for number in range(20_000))
    found = told(examine("From: Max <max@new.example>", many))
    assert found["reply-to"][0] is Severity.MEDIUM
    assert "20000 addresses" in found["reply-to"][1]


OFFICE = Circle(
    [
        Acquaintance("Alice Archer", Address.parse("alice@firm.example"), own=True),
        Acquaintance("Anna Schmidt", Address.parse("as@firm.example"), own=True),
        Acquaintance("Hans-Peter Müller", Address.parse("hp@firm.example"), own=True),
        Acquaintance("Carol Jones", Address.parse("carol@far.example")),
        Acquaintance("Dan Brown", Address.parse("dan@outlook.de")),
    ],
    known=[Known("firm.example", Kin.OWN), Known("paypal.com", Kin.PROTECTED, "PayPal"),
           Known("ing.example", Kin.PROTECTED, "ING"), Known("apple.com", Kin.PROTECTED, "Apple"),
           Known("bank.example", Kin.PROTECTED, "Bank of X")],
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("Alice B. Archer", Severity.MEDIUM),
        ("Alice Archer via DocuSign", Severity.MEDIUM),
        ("Alice Archer | Posthouse", Severity.MEDIUM),
        ("Alice Archer from firm.example", Severity.MEDIUM),
        ("Alice Archerr", Severity.MEDIUM),
        ("Alice Arhcer", Severity.MEDIUM),
        ("AliceArcher", Severity.HIGH),
        ("ArcherAlice (CEO)", Severity.HIGH),
        ("Alice-Archer", Severity.HIGH),
        ("alice\u200barcher", Severity.HIGH),
        ("Hans Peter Müller", Severity.HIGH),
        ("Carol Jones, Sales", Severity.MEDIUM),
        ("Carol Xenia Jones", Severity.LOW),
    ],
)
def test_a_known_name_with_more_in_it_or_a_letter_off_is_told(name: str, severity: Severity) -> None:
    found = told(check(letter(f'From: "{name}" <x@evil.example>'), OFFICE))
    assert found["namesake"][0] is severity
    assert "name of" in found["namesake"][1]


@pytest.mark.parametrize(
    "name",
    ["Anna Schmitt", "Anna Schmidt-Bauer", "Alice Brown", "A. Archer", "Carol Joness", "Maria Schmidt", "Alice",
     "Anna Peter", "Alicea Archery"],
)
def test_names_that_people_share_in_part_are_left_alone(name: str) -> None:
    assert check(letter(f'From: "{name}" <x@evil.example>'), OFFICE).findings == ()


def test_a_longer_name_from_the_same_firm_is_fine() -> None:
    assert check(letter('From: "Carol Jones via Docs" <docs@mail.far.example>'), OFFICE).findings == ()
    found = told(check(letter('From: "Carol Xenia Jones" <carol@yahoo.co.uk>'), OFFICE))
    assert found["namesake"][0] is Severity.MEDIUM


@pytest.mark.parametrize(
    "name", ["PayPal-Service", "Pay Pal", "Pay-Pal", "PayPalSupport", "PAYPAL", "PayPaI-Support", "Pay\u200bPal",
             "BankofX", "ING-Kundenservice", "Apple-Support"]
)
def test_a_protected_name_is_found_however_it_is_cut(name: str) -> None:
    found = told(check(letter(f'From: "{name}" <x@evil.example>'), OFFICE))
    assert found["brand"][0] is Severity.MEDIUM


@pytest.mark.parametrize("name", ["BankING", "PineApple", "Paypalace Hotel", "Ingrid", "Bank X of"])
def test_a_protected_name_inside_of_another_word_is_left_alone(name: str) -> None:
    assert check(letter(f'From: "{name}" <x@evil.example>'), OFFICE).findings == ()


@pytest.mark.parametrize(
    "domain", ["gmail.com", "outlook.de", "yahoo.co.uk", "hotmail.fr", "live.nl", "yahoo.co.jp", "outlook.com.br"]
)
def test_where_anybody_gets_an_address_is_known_in_all_countries(domain: str) -> None:
    found = told(examine("From: Max <max@new.example>", f"Reply-To: x@{domain}"))
    assert found["reply-to"][0] is Severity.MEDIUM
    found = told(check(letter(f"From: Dan Brown <dan2@{domain}>"), OFFICE))
    assert found["namesake"][0] is Severity.HIGH


@pytest.mark.parametrize("local_part", ["noreply", "No-Reply", "wordpress", "shop.no-reply+1", "notifications"])
def test_that_an_answer_to_a_machine_goes_to_a_person_is_a_curiosity(local_part: str) -> None:
    found = told(examine(f"From: Form <{local_part}@new.example>", "Reply-To: customer@gmail.com"))
    assert found["reply-to"][0] is Severity.LOW
    found = told(examine(f"From: Form <{local_part}s@new.example>", "Reply-To: erika@f1rm.example"))
    assert found["reply-to"][0] is Severity.HIGH


def test_an_invoice_that_a_service_sends_for_its_customer_is_no_alarm() -> None:
    lines = ["From: Acme Cloud <invoices@billing.example>", "Reply-To: office@acme-cloud.example"]
    found = examine(*lines, body="Your invoice payment is due. IBAN: DE00")
    assert {finding.severity for finding in found.findings} == {Severity.LOW}
    found = examine(*lines, body="Urgent: your invoice payment is due. IBAN: DE00")
    assert told(found)["bec"][0] is Severity.HIGH


def test_a_firm_may_name_its_address_under_another_ending() -> None:
    assert examine('From: "service@paypal.example" <service@paypal.com>').findings == ()
    assert examine('From: "info@new.example" <info@new.test>').findings == ()
    assert "embedded-address" in told(examine('From: "max@gmail.com" <x@gmail.example>'))


@pytest.mark.parametrize(
    ("known", "written"),
    [
        ("Jürgen Groß", "Juergen Gross"),
        ("Jürgen Groß", "Jurgen Gross"),
        ("Juergen Gross", "Jürgen Groß"),
        ("Jürgen Groß", "GROSS, JUERGEN"),
        ("Søren Ågård", "Soeren Aagaard"),
        ("佐藤 健", "佐藤健"),
        ("佐藤健", "佐藤 健"),
        ("김 민수", "김민수"),
    ],
)
def test_a_known_name_is_found_with_or_without_the_letters_that_a_keyboard_lacks(known: str, written: str) -> None:
    circle = Circle([Acquaintance(known, Address.parse("x@partner.example"))])
    found = told(check(letter(f'From: "{written}" <x@evil.example>'), circle))
    assert found["namesake"][1].startswith("has the name of ")


def test_a_longer_name_is_found_in_each_spelling() -> None:
    for known, written in (("Jürgen Groß", "Juergen Gross | CEO"), ("Juergen Gross", "Jürgen Groß, Example")):
        circle = Circle([Acquaintance(known, Address.parse("x@partner.example"))])
        assert "namesake" in told(check(letter(f'From: "{written}" <x@evil.example>'), circle))


@pytest.mark.parametrize("name", ["D H L", "D.H.L. Kundenservice", "D-H-L", "P a y P a l"])
def test_a_protected_name_that_is_spelt_is_told(name: str) -> None:
    circle = Circle(known=[Known("dhl.example", Kin.PROTECTED, "DHL"), Known("paypal.com", Kin.PROTECTED, "PayPal")])
    assert "brand" in told(check(letter(f'From: "{name}" <x@evil.example>'), circle))
    assert check(letter('From: "D. Holm" <x@evil.example>'), circle).findings == ()


@pytest.mark.parametrize(
    "name", ["North Wind GmbH", "Geschäftsführung North Wind", "North-Wind Personalabteilung", "Direction Northwind SA"]
)
def test_offices_and_legal_forms_beside_our_name_are_known_in_several_languages(name: str) -> None:
    ours = Circle(known=[Known("north-wind.example", Kin.OWN)])
    found = told(check(letter(f'From: "{name}" <x@evil.test>'), ours))
    assert found["brand"] == (Severity.MEDIUM, "calls itself north-wind.example, but is from evil.test")


@pytest.mark.parametrize(
    "body",
    [
        "Please note that our bank details have changed. Kindly process the outstanding invoice to the new IBAN.",
        "Bitte beachten Sie unsere neue Bankverbindung für alle Zahlungen.",
        "Veuillez noter notre nouveau RIB pour le virement.",
        "Le comunicamos nuestra nueva cuenta bancaria para la transferencia.",
        "Si prega di usare il nuovo IBAN per il pagamento.",
        "Просим оплатить, наши новые реквизиты в приложении.",
    ],
)
def test_a_supplier_under_another_ending_with_a_new_account_is_a_warning(body: str) -> None:
    lines = ["From: Accounts <accounts@partner.test>"]
    resembled = compare("partner.test", Index([Known("partner.example")])).findings
    assert [finding.severity for finding in resembled] == [Severity.LOW]
    severity, text = told(examine(*lines, body=body, resembled=resembled))["bec"]
    assert severity is Severity.HIGH
    assert "its domain has the name of partner.example, but ends in .test instead of .example" in text
    assert "it tells of a new bank account (" in text
    # The same from somebody new, and an everyday letter from there, are none.
    assert told(examine(*lines, body=body))["bec"][0] is Severity.LOW
    assert "bec" not in told(examine(*lines, body="Your invoice payment has arrived.", resembled=resembled))


def test_providers_whom_many_use_under_several_endings_resemble_nobody() -> None:
    resembled = compare("gmx.net", Index([Known("gmx.de")])).findings
    found = told(examine("From: Max <max@gmx.net>", body="Payment please, here is my new IBAN.", resembled=resembled))
    assert "bec" not in found or found["bec"][0] is Severity.LOW


def test_an_acquaintance_whom_nothing_proves_may_be_anybody_where_it_is_about_money() -> None:
    def weight(body: str, *more: str, proven: frozenset[str] = frozenset()) -> tuple[Severity, str] | None:
        lines = ["From: Anna Schmidt <anna@partner.example>", *more]
        return told(check(letter(*lines, body=body), CIRCLE, proven=proven)).get("bec")

    fraud = "Our bank details have changed, please send the payment there."
    found = weight(fraud)
    assert found is not None
    assert found[0] is Severity.MEDIUM
    assert "nothing proves that it is from partner.example; it is about money" in found[1]
    assert weight(fraud, proven=frozenset({"mail.partner.example"})) is None
    assert weight("See you on Friday, it is urgent.") is None
    everyday = weight("Your invoice payment is due immediately.")
    assert everyday is not None
    assert everyday[0] is Severity.LOW
    alarm = weight(f"Urgent: {fraud}")
    assert alarm is not None
    assert alarm[0] is Severity.HIGH


@pytest.mark.parametrize(
    "name", ["ᴀɴɴᴀ ꜱᴄʜᴍɪᴅᴛ", "A\u0336n\u0336n\u0336a S\u0336c\u0336h\u0336midt", "An\u0332na Schmidt", "Ⓐⓝⓝⓐ Schmidt"]
)
def test_letters_in_disguise_are_read_as_people_read_them(name: str) -> None:
    assert "namesake" in told(examine(f'From: "{name}" <x@evil.example>'))


def test_an_address_at_the_same_provider_that_looks_like_that_of_an_acquaintance_is_told() -> None:
    found = told(check(letter("From: d4n@outlook.de"), OFFICE))
    expected = "looks like dan@outlook.de, but is from d4n@outlook.de, who is not known here"
    assert found["namesake"] == (Severity.HIGH, expected)
    for other in ("dann@outlook.de", "d4n@gmail.com", "c4rol@far.example"):
        assert check(letter(f"From: {other}"), OFFICE).findings == ()


def test_an_address_with_characters_that_cannot_be_seen_is_told() -> None:
    found = told(examine("From: x <x\u200by@evil.example>"))
    assert found["hidden"] == (Severity.MEDIUM, "has characters in its address that cannot be seen")


def test_a_service_that_names_in_its_address_where_an_answer_goes_hides_nothing() -> None:
    found = told(examine("From: Studio <studio=gmail.com@mail.example>", "Reply-To: studio@gmail.com"))
    assert found["reply-to"][0] is Severity.LOW


def test_where_an_answer_to_a_machine_goes_is_not_counted() -> None:
    lines = ["From: Shop <noreply@new.example>", "Reply-To: service@shop.example"]
    found = told(examine(*lines, body="Welcome! Payment is possible by bank transfer. Order immediately."))
    assert found["bec"][0] is Severity.LOW
    assert found["reply-to"][0] is Severity.LOW
