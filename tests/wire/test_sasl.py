"""SASL on both sides: the vectors of RFC 7677, channel binding, downgrades, and everything a client may get wrong."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire import sasl
from posthouse.wire.sasl import (
    Authenticated,
    Challenge,
    ChannelBinding,
    CheckPassword,
    ClientMechanism,
    NeedKeys,
    PreparationError,
    Refused,
    SaslError,
    ScramKeys,
    choose,
    derive,
    fabricated,
    mechanisms,
    saslprep,
    scram,
    start,
)

NONCE = b"server nonce, 18+.."
CLIENT_NONCE = b"client nonce, 18+.."
BOUND = ChannelBinding(tls_server_end_point=b"hash of the certificate")
KEYS = derive("pencil", b"0123456789abcdef", 4096)


# --- passwords in the clear ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "step"),
    [
        (b"\0alice\0secret", CheckPassword("alice", "", "secret")),
        (b"bob\0alice\0secret", CheckPassword("alice", "bob", "secret")),
        ("\0jörg\0pass wört".encode(), CheckPassword("jörg", "", "pass wört")),
        # RFC 4013 §3: soft hyphen goes, roman numeral nine is decomposed.
        ("\0I\u00adX\0\u2168".encode(), CheckPassword("IX", "", "IX")),
    ],
)
def test_plain_gives_names_and_password(message: bytes, step: CheckPassword) -> None:
    assert start("plain", nonce=NONCE).step(message) == step


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"alice",
        b"alice\0secret",
        b"\0alice\0sec\0ret",
        b"\0\0secret",
        b"\0alice\0",
        b"\0\xff\0secret",
        b"\0alice\0\xff",
        b"\0alice\0\x07",
        "\0alice\0\u00ad".encode(),
        b"\0" + b"a" * 513 + b"\0x",
        b"\0a\0" + b"x" * 1025,
        b"x" * 600 + b"\0a\0x",
    ],
)
def test_plain_refuses_what_is_malformed(message: bytes) -> None:
    step = start("PLAIN", nonce=NONCE).step(message)
    assert isinstance(step, Refused)
    assert step.malformed


def test_a_password_of_a_kilobyte_is_taken() -> None:
    assert isinstance(start("PLAIN", nonce=NONCE).step(b"\0a\0" + b"x" * 1024), CheckPassword)


def test_without_an_initial_response_each_mechanism_asks() -> None:
    assert start("PLAIN", nonce=NONCE).step(None) == Challenge(b"")
    assert start("SCRAM-SHA-256", nonce=NONCE).step(None) == Challenge(b"")
    login = start("LOGIN", nonce=NONCE)
    assert login.step(None) == Challenge(b"Username:")
    assert login.step(b"alice") == Challenge(b"Password:")
    assert login.step(b"secret") == CheckPassword("alice", "", "secret")


def test_login_takes_the_name_as_initial_response() -> None:
    login = start("LOGIN", nonce=NONCE)
    assert login.step(b"alice") == Challenge(b"Password:")
    assert isinstance(login.step(b"\xff"), Refused)


# --- SCRAM --------------------------------------------------------------------------------------------


def test_the_exchange_of_rfc_7677_on_the_server() -> None:
    keys = derive("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    mechanism = start("SCRAM-SHA-256", nonce=NONCE)
    mechanism._nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"  # type: ignore[attr-defined]
    assert mechanism.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == NeedKeys("user", "")
    assert mechanism.keys(keys) == Challenge(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert mechanism.step(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    ) == Authenticated("user", "", b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_the_exchange_of_rfc_7677_on_the_client() -> None:
    mechanism = choose(["SCRAM-SHA-256"], "user", "pencil", nonce=CLIENT_NONCE, tls=False)
    mechanism._nonce = "rOprNGfwEbeRWgbNEkqO"  # type: ignore[attr-defined]
    mechanism._client_first = "n=user,r=rOprNGfwEbeRWgbNEkqO"  # type: ignore[attr-defined]
    assert mechanism.respond(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    ) == (b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    assert not mechanism.verified
    assert mechanism.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    assert mechanism.verified


def exchange(
    client: ClientMechanism, name: str, keys: ScramKeys = KEYS, binding: ChannelBinding | None = None
) -> sasl.Step:
    """Client and server until one of them ends it; the server's last step."""
    server = start(name, nonce=NONCE, binding=binding)
    step = server.step(client.initial)
    while True:
        if isinstance(step, NeedKeys):
            step = server.keys(keys)
        elif isinstance(step, Challenge):
            step = server.step(client.respond(step.octets))
        else:
            if isinstance(step, Authenticated):
                client.respond(step.final)
            return step


@pytest.mark.parametrize("name", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_client_and_server_understand_each_other(name: str) -> None:
    binding = BOUND if name.endswith("PLUS") else None
    client = choose([name, "PLAIN"], "a=b,c", "pencil", nonce=CLIENT_NONCE, tls=True, binding=binding)
    assert client.name == name
    assert isinstance(exchange(client, name, binding=binding), Authenticated)
    assert client.verified


def test_names_are_escaped_and_prepared() -> None:
    client = choose(["SCRAM-SHA-256"], "a=b,\u2168", "pencil", nonce=CLIENT_NONCE, tls=True)
    assert start("SCRAM-SHA-256", nonce=NONCE).step(client.initial) == NeedKeys("a=b,IX", "")
    assert start("SCRAM-SHA-256", nonce=NONCE).step(b"n,a=bob,n=alice,r=abc") == NeedKeys("alice", "bob")


def test_the_exporter_of_tls_is_preferred_where_both_have_it() -> None:
    both = ChannelBinding(b"hash", b"exported keying material")
    client = choose(["SCRAM-SHA-256-PLUS"], "user", "pencil", nonce=CLIENT_NONCE, tls=True, binding=both)
    assert client.initial is not None
    assert client.initial.startswith(b"p=tls-exporter,,")
    assert isinstance(exchange(client, "SCRAM-SHA-256-PLUS", binding=both), Authenticated)


@pytest.mark.parametrize("password", ["Pencil", "pencil ", ""])
def test_a_wrong_password_is_refused(password: str) -> None:
    client = choose(["SCRAM-SHA-256"], "user", password, nonce=CLIENT_NONCE, tls=True)
    step = exchange(client, "SCRAM-SHA-256")
    assert isinstance(step, Refused)
    assert not step.malformed


def test_another_end_of_tls_is_refused() -> None:
    """Somebody in between has a TLS connection of his own with each side."""
    client = choose(
        ["SCRAM-SHA-256-PLUS"],
        "user",
        "pencil",
        nonce=CLIENT_NONCE,
        tls=True,
        binding=ChannelBinding(b"his certificate"),
    )
    assert isinstance(exchange(client, "SCRAM-SHA-256-PLUS", binding=BOUND), Refused)


def test_a_downgrade_is_noticed() -> None:
    """Somebody in between took -PLUS out of the list; the client says that it could have bound."""
    client = choose(["SCRAM-SHA-256"], "user", "pencil", nonce=CLIENT_NONCE, tls=True, binding=BOUND)
    assert client.initial is not None
    assert client.initial.startswith(b"y,,")
    assert isinstance(exchange(client, "SCRAM-SHA-256", binding=BOUND), Refused)
    # The same client at a server that really offers none.
    client = choose(["SCRAM-SHA-256"], "user", "pencil", nonce=CLIENT_NONCE, tls=True, binding=BOUND)
    assert isinstance(exchange(client, "SCRAM-SHA-256"), Authenticated)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SCRAM-SHA-256", b"p=tls-server-end-point,,n=user,r=abc"),
        ("SCRAM-SHA-256-PLUS", b"n,,n=user,r=abc"),
        ("SCRAM-SHA-256-PLUS", b"y,,n=user,r=abc"),
        ("SCRAM-SHA-256-PLUS", b"p=tls-unique,,n=user,r=abc"),
        ("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,n=user,r=abc"),
        ("SCRAM-SHA-256", b"x,,n=user,r=abc"),
        ("SCRAM-SHA-256", b"n,n=user,r=abc"),
        ("SCRAM-SHA-256", b"n,b=x,n=user,r=abc"),
        ("SCRAM-SHA-256", b"n,,m=ext,n=user,r=abc"),
        ("SCRAM-SHA-256", b"n,,n=us=er,r=abc"),
        ("SCRAM-SHA-256", b"n,,n=us=2cer,r=abc"),
        ("SCRAM-SHA-256", b"n,,n=,r=abc"),
        ("SCRAM-SHA-256", b"n,,n=user,r="),
        ("SCRAM-SHA-256", b"n,,n=user,r=a b"),
        ("SCRAM-SHA-256", b"n,,n=user"),
        ("SCRAM-SHA-256", b"n,,n=\xff,r=abc"),
        ("SCRAM-SHA-256", b"n,,n=\x07,r=abc"),
        ("SCRAM-SHA-256", b"n,,n=" + b"x" * 600 + b",r=abc"),
        ("SCRAM-SHA-256", b"n,,n=user,r=" + b"x" * 5000),
        ("SCRAM-SHA-256", b""),
    ],
)
def test_a_first_message_that_does_not_fit_is_refused(name: str, message: bytes) -> None:
    assert isinstance(start(name, nonce=NONCE, binding=BOUND).step(message), Refused)


def final_of(change: tuple[bytes, bytes]) -> sasl.Step:
    client = choose(["SCRAM-SHA-256"], "user", "pencil", nonce=CLIENT_NONCE, tls=True)
    server = start("SCRAM-SHA-256", nonce=NONCE)
    server.step(client.initial)
    first = server.keys(KEYS)
    assert isinstance(first, Challenge)
    final = client.respond(first.octets)
    assert change[0] in final
    return server.step(final.replace(*change, 1))


def test_an_unchanged_final_message_is_taken() -> None:
    assert isinstance(final_of((b"c=biws", b"c=biws")), Authenticated)


@pytest.mark.parametrize(
    "change",
    [
        (b"c=biws", b"c=eSws"),
        (b"c=biws", b"c=!!"),
        (b"c=biws,", b""),
        (b",r=", b",r=x"),
        (b",p=", b",p=AAAA"),
        (b",p=", b",q="),
        (b",p=", b",p=\xff"),
        (b"c=", b"d="),
        (b",r=", b",x=y,r="),
    ],
)
def test_a_changed_final_message_is_refused(change: tuple[bytes, bytes]) -> None:
    assert isinstance(final_of(change), Refused)


def test_a_proof_for_the_unbound_exchange_does_not_pass_for_a_bound_one() -> None:
    """The header in c= is part of what is signed, and is compared as well."""
    client = choose(["SCRAM-SHA-256-PLUS"], "user", "pencil", nonce=CLIENT_NONCE, tls=True, binding=BOUND)
    client._bound = b""  # type: ignore[attr-defined]
    server = start("SCRAM-SHA-256-PLUS", nonce=NONCE, binding=BOUND)
    server.step(client.initial)
    first = server.keys(KEYS)
    assert isinstance(first, Challenge)
    assert isinstance(server.step(client.respond(first.octets)), Refused)


def test_a_right_proof_for_another_nonce_is_refused() -> None:
    """RFC 5802 §5.1: the server verifies that the nonce is the one it gave out."""
    server = start("SCRAM-SHA-256", nonce=NONCE)
    server.step(b"n,,n=user,r=abc")
    first = server.keys(KEYS)
    assert isinstance(first, Challenge)
    salted = scram.salted_password("pencil", KEYS.salt, KEYS.iterations)
    client_key = scram.client_key(salted)

    def final(nonce: bytes) -> bytes:
        without_proof = b"c=biws,r=" + nonce
        message = b"n=user,r=abc," + first.octets + b"," + without_proof
        proof = scram.xor(client_key, scram.signature(scram.sha256(client_key), message))
        return without_proof + b",p=" + b64encode(proof)

    nonce = first.octets.split(b",")[0][2:]
    assert isinstance(server.step(final(nonce + b"x")), Refused)
    assert isinstance(server.step(final(nonce)), Authenticated)


def test_an_unknown_name_looks_like_a_known_one() -> None:
    secret = b"of this house"
    keys = fabricated("nobody", secret, 4096)
    assert keys == fabricated("nobody", secret, 4096)
    assert keys.salt != fabricated("someone", secret, 4096).salt
    assert keys.salt != fabricated("nobody", b"other", 4096).salt
    assert len(keys.salt) == len(KEYS.salt)
    client = choose(["SCRAM-SHA-256"], "nobody", "pencil", nonce=CLIENT_NONCE, tls=True)
    step = exchange(client, "SCRAM-SHA-256", keys)
    assert isinstance(step, Refused)
    assert not step.malformed


def test_keys_that_nobody_asked_for_are_an_error() -> None:
    for name in ("PLAIN", "LOGIN", "SCRAM-SHA-256"):
        with pytest.raises(SaslError):
            start(name, nonce=NONCE).keys(KEYS)


@given(
    st.sampled_from(["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]),
    st.lists(st.binary(max_size=60), max_size=4),
)
def test_nothing_a_client_sends_raises(name: str, messages: list[bytes]) -> None:
    mechanism = start(name, nonce=NONCE, binding=BOUND)
    for message in messages:
        step = mechanism.step(message)
        if isinstance(step, NeedKeys):
            step = mechanism.keys(KEYS)
        if isinstance(step, Refused | CheckPassword):
            break
        assert not isinstance(step, Authenticated)


# --- the client ---------------------------------------------------------------------------------------


def test_the_strongest_mechanism_is_chosen() -> None:
    offered = ["LOGIN", "plain", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]

    def chosen(offered: list[str], *, tls: bool, binding: ChannelBinding | None = None) -> str:
        return choose(offered, "a", "b", nonce=CLIENT_NONCE, tls=tls, binding=binding).name

    assert chosen(offered, tls=True, binding=BOUND) == "SCRAM-SHA-256-PLUS"
    assert chosen(offered, tls=True) == "SCRAM-SHA-256"
    assert chosen(offered[:2], tls=True) == "PLAIN"
    assert chosen(offered[:1], tls=True) == "LOGIN"
    assert chosen(offered, tls=False) == "SCRAM-SHA-256"
    for without in (["PLAIN", "LOGIN"], ["CRAM-MD5"], []):
        with pytest.raises(SaslError):
            chosen(without, tls=False)
    with pytest.raises(SaslError):
        choose(offered, "a\x07", "b", nonce=CLIENT_NONCE, tls=True)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"\xff",
        b"r=abc,s=AAAA,i=4096",
        b"{r},s=AAAA,i=4096",
        b"{r}x,s=!,i=4096",
        b"{r}x,s=AAAA,i=4095",
        b"{r}x,s=AAAA,i=1000001",
        b"{r}x,s=AAAA,i=-1",
        b"{r}x,s=AAAA,i=9999999999",
        b"{r}x,i=4096,s=AAAA",
        b"m=x,{r}x,s=AAAA,i=4096",
        b"{r} x,s=AAAA,i=4096",
    ],
)
def test_a_server_that_does_not_keep_to_scram_is_left(challenge: bytes) -> None:
    client = choose(["SCRAM-SHA-256"], "user", "pencil", nonce=CLIENT_NONCE, tls=True)
    with pytest.raises(SaslError):
        client.respond(challenge.replace(b"{r}", b"r=" + b64encode(CLIENT_NONCE)))


@pytest.mark.parametrize("final", [b"e=other-error", b"v=AAAA", b"x=y", b"", b"v=!!"])
def test_a_server_that_does_not_know_the_password_is_left(final: bytes) -> None:
    client = choose(["SCRAM-SHA-256"], "user", "pencil", nonce=CLIENT_NONCE, tls=True)
    client.respond(b"r=" + b64encode(CLIENT_NONCE) + b"x,s=AAAA,i=4096")
    with pytest.raises(SaslError):
        client.respond(final)
    assert not client.verified


def test_a_mechanism_that_is_through_says_no_more() -> None:
    plain = choose(["PLAIN"], "user", "pencil", nonce=CLIENT_NONCE, tls=True)
    login = choose(["LOGIN"], "user", "pencil", nonce=CLIENT_NONCE, tls=True)
    assert [login.respond(b"User Name"), login.respond(b"Password")] == [b"user", b"pencil"]
    for mechanism in (plain, login):
        with pytest.raises(SaslError):
            mechanism.respond(b"")


# --- what is offered ----------------------------------------------------------------------------------


def test_passwords_in_the_clear_are_offered_under_tls_only() -> None:
    assert mechanisms(False, False) == ("SCRAM-SHA-256",)
    assert mechanisms(True, False) == ("SCRAM-SHA-256", "PLAIN", "LOGIN")
    assert mechanisms(True, True)[0] == "SCRAM-SHA-256-PLUS"


def test_what_is_not_offered_cannot_be_started() -> None:
    for name in ("CRAM-MD5", "", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS"):
        with pytest.raises(SaslError):
            start(name, nonce=NONCE)
    with pytest.raises(SaslError):
        start("SCRAM-SHA-256-PLUS", nonce=NONCE, binding=ChannelBinding())


# --- SASLprep -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("😀", "😀"),
    ],
)
def test_saslprep_as_in_rfc_4013(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text", ["\u0007", "é\u0007", "\u0627\u0031x", "\u0627a\u0627", "\ue000", "\ufffd", "é\u200e", chr(0xD800)]
)
def test_saslprep_refuses_what_rfc_4013_prohibits(text: str) -> None:
    with pytest.raises(PreparationError):
        saslprep(text)


def test_right_to_left_text_is_fine_by_itself() -> None:
    assert saslprep("\u0627\u0628") == "\u0627\u0628"
