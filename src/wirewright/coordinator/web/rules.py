"""Policies as people type and read them: a rule a line, in the words of ``ww device add --allow``."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from wirewright.client import phrases
from wirewright.coordinator.errors import InvalidError
from wirewright.gateway.policy import DEFAULT_POLICY

ANYTHING = "anything"
NOTHING = "nothing"


def from_text(text: str) -> list[dict[str, object]] | None:
    """Read rules, a line each; ``None`` for the usual policy. Raises `InvalidError`, which names the line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines == [ANYTHING]:
        return None
    if lines == [NOTHING]:
        return []
    rules: list[dict[str, object]] = []
    for number, line in enumerate(lines, 1):
        try:
            rule = phrases.rule(line)
            for destination in rule["destinations"]:
                ip_network(destination)
            rules.append(rule)
        except ValueError as error:
            raise InvalidError(f"Line {number} of the rules: {str(error).rstrip('.')}.") from None
    return rules


def usual() -> list[dict[str, object]]:
    """Return the policy of a device for which nothing else is said."""
    return DEFAULT_POLICY.to_json()


def as_text(policy: list[dict[str, Any]]) -> str:
    """Return rules as they are typed."""
    if policy == DEFAULT_POLICY.to_json():
        return ANYTHING
    return "\n".join(map(phrases.rule_in_words, policy)) or NOTHING


def in_words(policy: list[dict[str, Any]]) -> list[str]:
    """Return a sentence a rule; none for a policy that opens nothing."""
    if policy == DEFAULT_POLICY.to_json():
        return ["The internet and the gateway, and no other device."]
    return [_sentence(rule) for rule in policy]


def _sentence(rule: dict[str, Any]) -> str:
    protocol = {"tcp": "TCP", "udp": "UDP", "icmp": "Pings"}.get(
        str(rule.get("protocol", "any")), "Everything"
    )
    ports = [str(each).replace("-", "\N{EN DASH}") for each in rule.get("ports", [])]
    to = _listed([str(each) for each in rule["destinations"]])
    if not ports:
        return f"{protocol} to {to}."
    word = "port" if len(ports) == 1 and "\N{EN DASH}" not in ports[0] else "ports"
    return f"{protocol} to {word} {_listed(ports)} of {to}."


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
