"""A topology as a drawing in text: a pair of boxes for each link, and what a host does besides."""

from wirewright.lab.topology import End, Host, Link, Topology


def draw(topology: Topology) -> str:
    """Draw it."""
    parts = [_link(link) for link in topology.all_links]
    remarks = [remark for host in topology.all_hosts for remark in _remarks(host)]
    if remarks:
        parts.append("\n".join(remarks))
    return "\n".join(parts)


def _link(link: Link) -> str:
    left, right = _inside(link.left), _inside(link.right)
    height = max(len(left), len(right))
    left += [""] * (height - len(left))
    right += [""] * (height - len(right))
    cable = f"── {', '.join(_qualities(link))} ──"
    gap = " " * len(cable)
    widths = [max(map(len, lines)) for lines in (left, right)]
    lines = [f"┌{'─' * (widths[0] + 2)}┐{gap}┌{'─' * (widths[1] + 2)}┐"]
    for number, (here, there) in enumerate(zip(left, right, strict=True)):
        # The cable ends at the interfaces, below the hosts' names.
        edges = ("├", cable, "┤") if number == 1 else ("│", gap, "│")
        lines.append(f"│ {here:<{widths[0]}} {''.join(edges)} {there:<{widths[1]}} │")
    lines.append(f"└{'─' * (widths[0] + 2)}┘{gap}└{'─' * (widths[1] + 2)}┘")
    return "\n".join(lines)


def _inside(end: End) -> list[str]:
    first, *others = end.addresses or ("",)
    indent = " " * (len(end.interface) + 1)
    return [end.host, f"{end.interface} {first}".rstrip(), *(f"{indent}{address}" for address in others)]


def _qualities(link: Link) -> list[str]:
    said = [f"MTU {link.mtu}"]
    if link.rate is not None:
        said.append(f"{link.rate.bits / 1e6:g} Mbit/s, FIFO {link.rate.queue / 1000:g} kB")
    weather = link.weather
    if weather is not None:
        if weather.delay or weather.jitter:
            jitter = f" + 0..{weather.jitter * 1000:g}" if weather.jitter else ""
            said.append(f"{weather.delay * 1000:g}{jitter} ms")
        said.extend(
            f"{share * 100:g}% {what}"
            for share, what in ((weather.loss, "lost"), (weather.reorder, "overtake"))
            if share
        )
        if weather.largest is not None:
            said.append(f"swallows above {weather.largest} bytes")
    return said


def _remarks(host: Host) -> list[str]:
    remarks = []
    if host.forward:
        remarks.append(f"{host.name} forwards")
    if host.nat is not None:
        nat = host.nat
        ports = ", any port" if nat.random_ports else ""
        times = f"{nat.udp_timeout} s, {nat.udp_stream_timeout} s once answered"
        remarks.append(f"{host.name} masquerades what leaves by {nat.outside}: UDP {times}{ports}")
    remarks.extend(f"{host.name} reaches {route.to} via {route.via}" for route in host.routes)
    return remarks
