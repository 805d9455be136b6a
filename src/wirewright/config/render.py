"""From models to lines: new sections, written the way a person would."""

from typing import TYPE_CHECKING, Any

from wirewright._core import HiddenText
from wirewright.config.fields import fields_of
from wirewright.config.model import Interface, Peer
from wirewright.config.parts import place

if TYPE_CHECKING:
    from wirewright.config.syntax import SectionName


def render_section(value: Interface | Peer, secrets: list[HiddenText], ending: str = "\n") -> str:
    """Write a section, header first, every line with its ending; secrets are appended to ``secrets``."""
    section: SectionName = "Interface" if isinstance(value, Interface) else "Peer"
    lines = [f"[{section}]"]
    for field in fields_of(section):
        items = field.items(getattr(value, field.attribute))
        if not items:
            continue
        groups: list[tuple[Any, ...]] = [(item,) for item in items] if field.one_a_line else [items]
        lines += [f"{field.key} = {place(field.parts(group), secrets)}" for group in groups]
    return "".join(line + ending for line in lines)


def render(interface: Interface, peers: tuple[Peer, ...], secrets: list[HiddenText]) -> str:
    """Write a whole file, with an empty line between sections."""
    sections: tuple[Interface | Peer, ...] = (interface, *peers)
    return "\n".join(render_section(section, secrets) for section in sections)
