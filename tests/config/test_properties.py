"""What holds for every text and every configuration."""

import re
from dataclasses import replace

from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.config.samples import OFFICE, PRIVATE
from tests.config.strategies import ANY_BYTES, ANY_TEXTS, CONFIGS, valid_texts
from wirewright.config import Config, ConfigError, Document, explain
from wirewright.config.fields import Field, fields_of
from wirewright.config.reader import field_of
from wirewright.config.syntax import read_line


def read_or_explained(text: str | bytes) -> Document | None:
    """Read a text; fail if it is refused by anything but a ConfigError that tells why."""
    try:
        return Document.loads(text)
    except ConfigError as error:
        problems = error.problems
    assert problems
    assert all(problem.found and problem.expected for problem in problems)
    return None


@given(ANY_TEXTS)
@example("\ud800")
@example("[Interface]\nMTU = ٣٤٥")
@example("[Interface]\n\xa0\n")
@example("[Interface]\nPrivate\u212aey = " + PRIVATE)
def test_any_text_is_read_or_refused_with_an_explanation(text: str) -> None:
    document = read_or_explained(text)
    if document is not None:
        explain(document)


@given(ANY_BYTES)
def test_any_bytes_are_read_or_refused_with_an_explanation(text: bytes) -> None:
    document = read_or_explained(text)
    if document is not None:
        assert document.dumps(expose_keys=True).encode("utf-8", "surrogateescape") == text


@given(valid_texts())
def test_a_file_that_is_right_is_read(text: str) -> None:
    Document.loads(text)


@given(valid_texts())
@example(OFFICE)
def test_a_document_keeps_its_text(text: str) -> None:
    document = Document.loads(text)
    assert document.dumps(expose_keys=True) == text
    assert document.updated(document.config).dumps(expose_keys=True) == text


@given(valid_texts())
@example(OFFICE)
def test_what_was_read_is_read_again_from_what_is_written(text: str) -> None:
    config = Config.loads(text)
    assert Config.loads(config.dumps(expose_keys=True)) == config


@given(CONFIGS)
def test_every_configuration_can_be_written_and_read(config: Config) -> None:
    assert Config.loads(config.dumps(expose_keys=True)) == config


@given(valid_texts(), CONFIGS)
def test_an_edited_document_says_what_it_was_told_to_say(text: str, config: Config) -> None:
    document = Document.loads(text)
    assert document.updated(config).config == config


@given(valid_texts(), CONFIGS)
def test_an_edit_and_its_reverse_say_the_same_as_before(text: str, config: Config) -> None:
    document = Document.loads(text)
    assert document.updated(config).updated(document.config).config == document.config


@given(valid_texts())
def test_no_key_is_in_what_python_sees_of_a_file(text: str) -> None:
    document = Document.loads(text)
    seen = "\n".join([document.source.text.text, document.dumps(), repr(document), repr(explain(document))])
    for key in re.findall(r"(?im)^\s*(?:private|preshared)key\s*=\s*([^\s#]+)", text):
        # Unless the same text stands as a public key, which is shown.
        assert key not in seen or any(key == str(peer.public_key) for peer in document.config.peers)


@given(valid_texts())
def test_effective_peers_are_unique_and_own_each_network_alone(text: str) -> None:
    peers = Config.loads(text).effective_peers()
    assert len({peer.public_key for peer in peers}) == len(peers)
    networks = [network for peer in peers for network in peer.allowed_ips]
    assert len(set(networks)) == len(networks)


@given(valid_texts(), CONFIGS, st.sampled_from(fields_of("Interface")))
def test_an_edit_of_one_key_leaves_every_other_line_byte_for_byte(
    text: str, config: Config, field: Field
) -> None:
    document = Document.loads(text)
    value = getattr(config.interface, field.attribute)
    before = document.config
    after = document.updated(replace(before, interface=replace(before.interface, **{field.attribute: value})))

    def other_lines(document: Document) -> list[str]:
        # The end of a line belongs to it, but for the last one, behind which a line may have been put.
        lines = document.dumps(expose_keys=True).removesuffix("\n").removesuffix("\r").split("\n")
        return [line for line in lines if field_of(read_line(line)) is not field]

    assert getattr(after.config.interface, field.attribute) == value
    assert [line.rstrip("\r") for line in other_lines(after)] == [
        line.rstrip("\r") for line in other_lines(document)
    ]


@given(valid_texts(), st.data())
def test_a_peer_that_goes_takes_its_section_and_no_other_line(text: str, data: st.DataObject) -> None:
    document = Document.loads(text)
    peers = document.config.peers
    assume(len({peer.public_key for peer in peers}) == len(peers) > 0)
    gone = data.draw(st.integers(0, len(peers) - 1))
    after = document.updated(replace(document.config, peers=peers[:gone] + peers[gone + 1 :]))
    blocks = [section.block.text for section in document.reading.sections]
    is_gone = [section.value is peers[gone] for section in document.reading.sections]
    left = "".join(block for block, goes in zip(blocks, is_gone, strict=True) if not goes)
    # Placeholders are numbered anew when secrets go.
    assert re.sub("\0[0-9]+\0", "", after.source.text.text) == re.sub("\0[0-9]+\0", "", left)
