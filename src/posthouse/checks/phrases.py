"""Words of pressure, of money, of new accounts and of secrecy, in the languages of those who use them to deceive.

    found = phrases.find("Bitte überweisen Sie heute noch den Betrag an das neue Konto …")
    found["payment"]      ("bitte überweisen", "neue konto")

One look at a bounded text: it is cut into words once, and each word is looked up once. A phrase is words in their
order; `*` at the end of a word stands for any ending. None of these words means anything alone: they are in honest
letters every day. Who counts them together with other signs is `impostor`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple, get_args
from unicodedata import normalize

Topic = Literal["pressure", "payment", "account", "secrecy"]

# So much of a text is looked at, and so many phrases of a topic are told.
TEXT_CHARACTERS = 16_384
_TOLD = 3
# So much of a phrase is told: what stands for any ending may be endless.
_PHRASE_CHARACTERS = 60

# Endings are found by the first letters of a word.
_STEM = 4

_find_words = re.compile(r"[^\W_]+").findall
# The same for ASCII, five times as fast.
_BETWEEN_WORDS = {code: " " for code in range(128) if not chr(code).isalnum()}

_PHRASES: dict[Topic, dict[str, str]] = {
    "pressure": {
        "en": "urgent*; asap; as soon as possible; immediately; right away; right now; at once; by end of day; by eod; "
              "before noon; time sensitive; before close of business; within the hour; within 24 hours; deadline; "
              "last reminder; final notice; final reminder; are you available; are you at your desk; quick task; "
              "quick favor; quick favour; small favor; account will be closed; will be suspended; act now",
        "de": "dringend*; eilig; eilt; umgehend; sofort*; unverzüglich; schnellstmöglich; so schnell wie möglich; "
              "heute noch; noch heute; bis heute abend; letzte mahnung; letzte erinnerung; letzte aufforderung; frist; "
              "sind sie am platz; sind sie verfügbar; bist du am platz; innerhalb von 24 stunden; wird gesperrt",
        "fr": "urgent*; immédiat*; tout de suite; dès que possible; au plus vite; dans les plus brefs délais; sans "
              "délai; "
              "aujourd hui même; avant midi; dernier rappel; êtes vous disponible; es tu disponible; sera suspendu",
        "es": "urgente*; inmediat*; cuanto antes; lo antes posible; de inmediato; hoy mismo; antes del mediodía; "
              "último aviso; está disponible; estás disponible; será suspendida; será bloqueada",
        "it": "urgente; urgenza; immediat*; subito; quanto prima; il prima possibile; al più presto; entro oggi; "
              "in giornata; ultimo avviso; ultimo sollecito; sei disponibile; è disponibile; verrà sospeso",
        "pt": "urgente*; urgência; imediat*; o mais rápido possível; quanto antes; ainda hoje; hoje mesmo; último "
              "aviso; "
              "está disponível; será suspensa; será bloqueada",
        "nl": "dringend*; spoed*; onmiddellijk; zo snel mogelijk; meteen; nog vandaag; vandaag nog; laatste "
              "herinnering; "
              "laatste aanmaning; ben je beschikbaar; bent u beschikbaar; wordt geblokkeerd",
        "pl": "pilne; pilnie; pilny; natychmiast*; niezwłocznie; jak najszybciej; jeszcze dzisiaj; jeszcze dziś; "
              "ostatnie wezwanie; ostatnie przypomnienie; zostanie zablokowane",
        "sv": "brådskande; omedelbart; omgående; snarast; så snart som möjligt; redan idag; sista påminnelse*",
        "da": "hastende; haster; omgående; straks; hurtigst muligt; snarest muligt; senest i dag; sidste rykker",
        "cs": "naléhav*; urgentní; okamžitě; ihned; co nejdříve; ještě dnes; poslední upomínka",
        "tr": "acil*; hemen; derhal; en kısa sürede; bugün içinde; son uyarı; müsait misiniz",
        "ru": "срочн*; немедленно; незамедлительно; как можно скорее; сегодня же; последнее предупреждение; "
              "будет заблокирован*",
        "uk": "термінов*; негайно; якнайшвидше; сьогодні ж; останнє попередження",
    },
    "payment": {
        "en": "wire transfer*; bank transfer*; make a transfer; process a transfer; make a payment; process a payment; "
              "process this payment; outstanding payment*; overdue invoice*; outstanding invoice*; unpaid invoice*; "
              "attached invoice; invoice payment; pay the invoice; payment details; bank details; banking details; "
              "bank account details; new bank account; new account details; change of bank; changed our bank; "
              "updated bank*; updated account*; direct deposit; payroll; remittance; beneficiary; swift code; iban; "
              "sort code; routing number; gift card*; itunes card*; steam card*; google play card*; bitcoin; crypto*; "
              "money transfer; western union; moneygram; purchase some cards; advance fee",
        "de": "überweis*; bitte überweisen; zahlung*; rechnung begleichen; offene rechnung*; offenen rechnung*; "
              "fällige rechnung*; ausstehende rechnung*; ausstehenden betrag; bankverbindung*; kontoverbindung*; "
              "kontodaten; neue konto*; neuen konto*; neues konto; bankdaten; gehaltskonto; gehaltsabrechnung; "
              "lohnabrechnung; iban; bic; gutscheinkarte*; geschenkkarte*; steam karte*; kryptowährung*; echtzeit*",
        "fr": "virement*; coordonnées bancaires; nouveau rib; nouveaux rib; changement de rib; compte bancaire; "
              "facture impayée; factures impayées; règlement de la facture; régler la facture; paiement*; iban; "
              "bénéficiaire; carte cadeau; cartes cadeaux; cartes pcs; mandat cash; bulletin de paie",
        "es": "transferencia*; datos bancarios; cuenta bancaria; nueva cuenta; factura pendiente; facturas pendientes; "
              "factura vencida; realizar el pago; realizar un pago; pago pendiente; iban; beneficiario; "
              "tarjeta de regalo; tarjetas de regalo; tarjetas regalo; nómina; criptomoneda*",
        "it": "bonifico; bonifici; coordinate bancarie; conto corrente; nuovo conto; nuovo iban; iban; "
              "fattura insoluta; fatture insolute; fattura scaduta; saldare la fattura; effettuare il pagamento; "
              "pagamento*; beneficiario; carta regalo; carte regalo; buoni regalo; busta paga; criptovalut*",
        "pt": "transferência*; dados bancários; conta bancária; nova conta; fatura pendente; faturas pendentes; "
              "fatura vencida; efetuar o pagamento; pagamento pendente; iban; beneficiário; pix; boleto; "
              "cartão presente; cartões presente; folha de pagamento; criptomoeda*",
        "nl": "overschrijving*; overboeking*; overmaken; bankgegevens; rekeningnummer*; nieuwe rekening; iban; "
              "openstaande factuur; openstaande facturen; onbetaalde factuur; betaling*; begunstigde; cadeaukaart*; "
              "cadeaubon*; salarisrekening; cryptovaluta",
        "pl": "przelew*; numer konta; numeru konta; nowe konto; rachunek bankowy; rachunku bankowego; dane bankowe; "
              "zaległa faktura; zaległe faktury; niezapłacona faktura; płatność; płatności; iban; "
              "karta podarunkowa; karty podarunkowe; kryptowalut*",
        "sv": "överföring*; banköverföring*; kontouppgifter; bankuppgifter; nytt konto; obetald faktura; betalning*; "
              "iban; presentkort; lönekonto; kryptovaluta",
        "da": "bankoverførsel*; overførsel*; bankoplysninger; kontooplysninger; ny konto; ubetalt faktura; betaling*; "
              "iban; gavekort; lønkonto; kryptovaluta",
        "cs": "bankovní převod*; převod*; bankovní údaje; číslo účtu; nový účet; neuhrazená faktura; neuhrazené "
              "faktury; "
              "platb*; iban; dárková karta; dárkové karty; kryptoměn*",
        "tr": "havale*; eft; banka hesab*; hesap numarası; yeni hesap; ödenmemiş fatura*; ödeme*; iban; "
              "hediye kartı; hediye kartları; kripto*",
        "ru": "перевод средств; перевести деньги; банковский перевод; банковские реквизиты; реквизит*; новый счет; "
              "новый счёт; оплат*; неоплаченный счет; неоплаченный счёт; подарочные карты; подарочную карту; "
              "криптовалют*",
        "uk": "переказ*; банківські реквізити; реквізит*; новий рахунок; оплат*; неоплачений рахунок; "
              "подарункові картки; криптовалют*",
    },
    # What a supplier is impersonated for: that money is to go elsewhere from now on.
    "account": {
        "en": "new bank account; new bank details; new banking details; change of bank*; changed our bank*; "
              "changed bank; bank details have changed; bank account has changed; banking details have changed; "
              "updated bank*; updated our bank*; change our bank*; old bank account; old account is",
        "de": "neue bankverbindung; neuen bankverbindung; neue kontoverbindung; neuen kontoverbindung; neue iban; "
              "neuen iban; bankverbindung geändert; bankverbindung hat sich; geänderte bankverbindung; "
              "geänderten bankverbindung; bankverbindung ändern; neues bankkonto; neue bankdaten",
        "fr": "nouveau rib; nouvel iban; nouveau compte bancaire; changement de rib; nouvelles coordonnées bancaires; "
              "changement de coordonnées; changé de banque",
        "es": "nueva cuenta bancaria; nuevo iban; nuevos datos bancarios; cambio de cuenta; cambiado de banco; "
              "cambiado nuestra cuenta",
        "it": "nuovo iban; nuovo conto corrente; nuove coordinate bancarie; cambio di iban; cambiato banca",
        "pt": "nova conta bancária; novo iban; novos dados bancários; mudança de conta; mudamos de banco",
        "nl": "nieuwe bankgegevens; nieuwe bankrekening; nieuw rekeningnummer; nieuw iban; nieuwe iban; "
              "bankgegevens gewijzigd; gewijzigde bankgegevens",
        "pl": "nowy numer konta; nowy rachunek bankowy; nowe dane bankowe; zmiana numeru konta; zmiana rachunku",
        "sv": "nytt bankkonto; nya bankuppgifter; nytt kontonummer; ändrade bankuppgifter",
        "da": "ny bankkonto; nye bankoplysninger; nyt kontonummer; ændrede bankoplysninger",
        "cs": "nový bankovní účet; nové číslo účtu; nové bankovní údaje; změna čísla účtu",
        "tr": "yeni banka hesab*; yeni iban; banka bilgilerimiz değişti",
        "ru": "новые реквизиты; новые банковские реквизиты; смена реквизитов; изменились реквизиты; "
              "новый расчетный счет",
        "uk": "нові реквізити; нові банківські реквізити; змінилися реквізити",
    },
    "secrecy": {
        "en": "strictly confidential; keep this confidential; keep this between us; between you and me; do not call; "
              "don t call; cannot talk; can t talk; do not discuss; don t tell anyone; do not tell anyone; discreet*; "
              "in a meeting; only by email; reply only to",
        "de": "streng vertraulich; vertraulich behandeln; unter uns; diskret*; rufen sie nicht an; ruf nicht an; "
              "nicht telefonisch; nur per mail; nur per e mail; in einer besprechung; sprechen sie mit niemandem; "
              "sprich mit niemandem",
        "fr": "strictement confidentiel*; rester entre nous; discrétion; n en parlez à personne; ne m appelez pas; "
              "uniquement par mail; uniquement par email; en réunion",
        "es": "estrictamente confidencial; entre nosotros; discreción; no me llames; no me llame; "
              "solo por correo; en una reunión; no lo comentes",
        "it": "strettamente riservat*; massima riservatezza; resti tra noi; non chiamarmi; non mi chiami; solo via "
              "mail; "
              "in riunione; non parlarne",
        "pt": "estritamente confidencial; entre nós; discrição; não me ligue; somente por email; em reunião",
        "nl": "strikt vertrouwelijk; onder ons; discretie; bel me niet; alleen per mail; in een vergadering",
        "pl": "ściśle poufne; poufnie; zostaje między nami; dyskrecj*; nie dzwoń; tylko mailowo; na spotkaniu",
        "ru": "строго конфиденциально; между нами; никому не говорите; не звоните; только по почте; на совещании",
    },
}
# Scripts that part no words: these are sought as they stand.
_UNDIVIDED: dict[Topic, str] = {
    "pressure": "紧急 緊急 立即 马上 馬上 尽快 盡快 至急 早急に 本日中 긴급 즉시 오늘까지",
    "payment": "转账 轉賬 轉帳 汇款 匯款 付款 银行账户 銀行帳戶 发票 發票 礼品卡 振込 送金 口座 請求書 "
               "ギフトカード 송금 계좌 입금 청구서 상품권",
    "account": "新银行账户 新的银行账户 新銀行帳戶 账户变更 帳戶變更 新しい口座 口座変更 口座が変更 새 계좌 계좌 변경",
    "secrecy": "保密 机密 機密 不要打电话 内密 極秘 電話しないで 기밀 비밀로",
}


class _Phrase(NamedTuple):
    """A phrase, and which of its words it is looked up by: the longest, as the least likely to stand everywhere."""

    topic: Topic
    words: list[str]
    key: int


def find(text: str) -> Mapping[Topic, tuple[str, ...]]:
    """The phrases of each topic in the first 16,384 characters, as they stand there, at most three of each.

    Topics that are not touched are missing.
    """
    text = text[:TEXT_CHARACTERS]
    if text.isascii():
        words = text.lower().translate(_BETWEEN_WORDS).split()
    else:
        text = normalize("NFKC", text).casefold()
        words = _find_words(text)
    exact, stems = _tables()
    present = set(words)
    wanted = exact.keys() & present
    if not stems.keys().isdisjoint({word[:_STEM] for word in present}):
        wanted |= {word for word in present if word[:_STEM] in stems}
    found: dict[Topic, dict[str, None]] = {}
    for at, word in enumerate(words) if wanted else ():
        if word in wanted:
            for phrase in (*exact.get(word, ()), *stems.get(word[:_STEM], ())):
                start, end = at - phrase.key, at - phrase.key + len(phrase.words)
                if len(found.get(phrase.topic, ())) < _TOLD and start >= 0 and _stands(phrase, words[start:end]):
                    found.setdefault(phrase.topic, {})[_told(" ".join(words[start:end]))] = None
    if not text.isascii():
        for topic, sought in _UNDIVIDED.items():
            for piece in sought.split():
                if piece in text and len(found.get(topic, ())) < _TOLD:
                    found.setdefault(topic, {})[piece] = None
    return {topic: tuple(told) for topic, told in found.items()}


def _told(phrase: str) -> str:
    return phrase if len(phrase) <= _PHRASE_CHARACTERS else f"{phrase[: _PHRASE_CHARACTERS - 1]}…"


def _stands(phrase: _Phrase, words: list[str]) -> bool:
    return len(words) == len(phrase.words) and all(
        word.startswith(wanted[:-1]) if wanted[-1] == "*" else word == wanted
        for wanted, word in zip(phrase.words, words, strict=True)
    )


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, list[_Phrase]], dict[str, list[_Phrase]]]:
    """Phrases by their longest word, and those whose longest word is a stem by its first letters."""
    exact: dict[str, list[_Phrase]] = {}
    stems: dict[str, list[_Phrase]] = {}
    for topic in get_args(Topic):
        listed = dict.fromkeys(phrase for of_language in _PHRASES[topic].values() for phrase in of_language.split("; "))
        for phrase in listed:
            words = normalize("NFKC", phrase).casefold().split()
            # A stem is looked up by so many letters that it needs to have them.
            fit = [at for at, word in enumerate(words) if not word.endswith("*") or len(word) > _STEM]
            key = max(fit, key=lambda at: len(words[at]))
            word = words[key]
            table, name = (stems, word[:_STEM]) if word.endswith("*") else (exact, word)
            table.setdefault(name, []).append(_Phrase(topic, words, key))
    return exact, stems
