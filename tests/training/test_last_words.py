import io

from smallvit.training.last_words import SENTENCE, relay

ABORT = [
    b"F1128 21:01:30.107331 4611 client.h:80] Terminating process because the JAX distributed "
    b"service detected fatal errors.\n",
    b"*** Check failure stack trace: ***\n",
]


def relayed(*lines):
    target = io.BytesIO()
    relay(lines, target)
    return target.getvalue()


def test_jaxs_last_words_become_a_sentence():
    assert relayed(b"before\n", *ABORT) == b"before\n" + SENTENCE
    assert relayed(*ABORT, b"smallvit: the same, from Python.\n") == SENTENCE


def test_what_has_been_said_in_a_sentence_is_not_said_again():
    assert relayed(b"smallvit: Said.\n", *ABORT) == b"smallvit: Said.\n"


def test_all_else_is_passed_on():
    assert relayed(b"For now\n", b"\n", b"no end") == b"For now\n\nno end"
