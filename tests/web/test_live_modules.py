"""What devices do, drawn in place: by the modules alone, with a stream that the test speaks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.live import SAMPLES
from wirewright.coordinator.web import words

from .browsing import Modules, chromium_running, static_served

pytestmark = pytest.mark.anyio
NOW = 1_800_000_000_000
DEVICES = ("a", "b", "c")
PREPARE = """(ids) => {
    window.sources = [];
    window.EventSource = class extends EventTarget {
        static CLOSED = 2;
        constructor(url) {
            super();
            this.url = url;
            this.readyState = 1;
            sources.push(this);
        }
        close() { this.readyState = 2; }
    };
    const row = (id) => `<tr data-device="${id}"><td><input type="checkbox"></td><td>
        <span data-live="dot" data-state="idle"></span><span data-live="tag" hidden></span></td>
        <td data-live="handshake">never</td><td><svg data-live="spark"></svg></td>
        <td data-live="received">–</td><td data-live="sent">–</td><td data-live="endpoint">–</td></tr>`;
    document.body.innerHTML = `<div id="notices"></div>
        <p id="counts" data-counts='{"all": 5, "online": 2, "offline": 3}'><b data-count="online">2</b>
        <b data-count="offline" data-name="Offline"></b><b data-count="other">–</b></p>
        <table data-module="live" data-counted><tbody>
        ${ids.map(row).join("")}</tbody></table>
        <div data-module="live" data-device="a" id="one">
        <span data-live="dot" data-state="idle"></span><div id="chart"></div></div>`;
}"""
START = """async (selector) => {
    (await import('/js/counts.js')).default(document.querySelector('#counts'));
    (await import('/js/live.js')).default(document.querySelector(selector));
    return sources.map((each) => each.url);
}"""
TELL = """(sights) => {
    const changed = new Set();
    const seen = new MutationObserver(() => {});
    seen.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
    const source = sources.at(-1);
    for (const data of sights) source.dispatchEvent(new MessageEvent('device', {data: JSON.stringify(data)}));
    for (const {target} of seen.takeRecords()) {
        const element = target instanceof Element ? target : target.parentElement;
        changed.add(element.closest('[data-device]')?.dataset.device ?? element.closest('[id]').id);
    }
    return [...changed].sort();
}"""
OPEN = "() => sources.map((each) => each.readyState === 1)"
REFUSE = """() => new Promise((waits) => {
    const later = setTimeout;
    window.setTimeout = (...what) => {
        window.setTimeout = later;
        waits();
        return later(...what);
    };
    const source = sources.at(-1);
    source.readyState = 2;
    source.dispatchEvent(new Event('error'));
})"""
HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def browsing() -> AsyncIterator[Modules]:
    with static_served() as url:
        async with chromium_running() as browser:
            yield await Modules.opened(browser, url)


@pytest.fixture
async def modules(browsing: Modules) -> AsyncIterator[Modules]:
    """A table of three devices, and one device's own part, without anything that tells of them."""
    errors: list[str] = []
    # A page of its own each time: streams and timers of another test would go on in it.
    page = await browsing.page.context.browser.new_page()  # type: ignore[union-attr]
    page.on("pageerror", lambda error: errors.append(str(error)))
    # What is refused is an error to browsers, and meant here.
    page.on(
        "console",
        lambda said: (
            errors.append(said.text)
            if said.type == "error" and "/live?" not in said.location["url"]
            else None
        ),
    )
    await page.clock.install(time=NOW / 1000 - 3600)
    await page.goto(browsing.page.url)
    # It stands still from here on, but where a test moves it.
    await page.clock.pause_at(NOW / 1000)
    await page.evaluate(PREPARE, [*DEVICES])
    yield Modules(page, [])
    await page.close()
    assert errors == []


def sight(device: str = "a", **parts: object) -> dict[str, Any]:
    return {
        "id": device,
        "name": "phone",
        "state": "online",
        "enabled": True,
        "latest_handshake": NOW - 5000,
        "received": 1500,
        "sent": 2_000_000,
        "endpoint": "192.0.2.1:51820",
        "at": NOW,
        "received_rate": 10,
        "sent_rate": 20,
        **parts,
    }


async def test_only_what_is_shown_is_asked_for(modules: Modules) -> None:
    assert await modules.page.evaluate(START, "table") == ["/live?id=a&id=b&id=c"]
    assert await modules.page.evaluate(START, "#one") == ["/live?id=a&id=b&id=c", "/live?id=a"]


async def test_a_device_is_shown_in_its_place_and_nothing_else_is_touched(modules: Modules) -> None:
    await modules.page.evaluate(START, "table")
    assert await modules.page.evaluate(TELL, [sight()]) == ["a", "counts"]
    row = modules.page.locator("tr[data-device=a]")
    await expect(row.locator("[data-live=dot]")).to_have_attribute("data-state", "online")
    await expect(row.locator("[data-live=dot]")).to_have_attribute("aria-label", "online")
    await expect(row.locator("[data-live=received]")).to_have_text("1.5 KB")
    await expect(row.locator("[data-live=sent]")).to_have_text("2.0 MB")
    await expect(row.locator("[data-live=endpoint]")).to_have_text("192.0.2.1:51820")
    await expect(row.locator("time")).to_have_text("5 s ago")
    await expect(row.locator("time")).to_have_attribute("title", "2027-01-15 07:59:55 UTC")
    await expect(modules.page.locator("[data-count=online]")).to_have_text("3")
    await expect(modules.page.locator("[data-count=offline]")).to_have_text("Offline (2)")
    assert await modules.page.evaluate(TELL, [sight("b", state="off", enabled=False)]) == ["b", "counts"]
    await expect(modules.page.locator("tr[data-device=b] [data-live=tag]")).to_have_text("disabled")
    await modules.page.evaluate(TELL, [sight(state="idle")])
    await expect(modules.page.locator("[data-count=online]")).to_have_text("2")
    await expect(modules.page.locator("[data-count=offline]")).to_have_text("Offline (2)")


async def test_one_devices_own_page_counts_nothing(modules: Modules) -> None:
    await modules.page.evaluate(START, "#one")
    await modules.page.evaluate(TELL, [sight()])
    await expect(modules.page.locator("[data-count=online]")).to_have_text("2")


async def test_devices_that_are_not_shown_change_nothing(modules: Modules) -> None:
    await modules.page.evaluate(START, "table")
    assert await modules.page.evaluate(TELL, [sight("elsewhere")]) == []


async def test_a_device_that_is_gone_can_be_chosen_no_more(modules: Modules) -> None:
    await modules.page.evaluate(START, "table")
    await modules.page.evaluate(TELL, [sight(), {"id": "a", "state": "gone"}])
    row = modules.page.locator("tr[data-device=a]")
    await expect(row.locator("[data-live=tag]")).to_have_text("removed")
    await expect(row.locator("input")).to_be_disabled()
    await expect(modules.page.locator("[data-count=online]")).to_have_text("2")
    await expect(modules.page.locator("tr[data-device=b] input")).to_be_enabled()


async def test_what_is_told_is_text_and_never_html(modules: Modules) -> None:
    await modules.page.evaluate(START, "table")
    await modules.page.evaluate(TELL, [sight(endpoint="<img src=x onerror=alert(1)>")])
    assert await modules.page.locator("table img").count() == 0
    await expect(modules.page.locator("tr[data-device=a] [data-live=endpoint]")).to_contain_text("<img")


async def test_a_line_has_no_more_samples_than_the_server_keeps(modules: Modules) -> None:
    await modules.page.evaluate(START, "table")
    rates = [[NOW + 1000 * index, index, 2 * index] for index in range(SAMPLES)]
    sights = [sight(rates=rates)]
    sights += [sight(at=NOW + 1000 * (SAMPLES + index), received_rate=7) for index in range(50)]
    await modules.page.evaluate(TELL, sights)
    for kind in ("received", "sent"):
        points = await modules.page.locator(f"tr[data-device=a] polyline.{kind}").get_attribute("points")
        assert points is not None
        pairs = [tuple(map(float, point.split(","))) for point in points.split()]
        assert [x for x, _ in pairs] == list(range(SAMPLES))
        assert all(0 <= y <= 20 for _, y in pairs)
    label = await modules.page.locator("tr[data-device=a] svg").get_attribute("aria-label")
    assert label == "Traffic now: 7 B a second received, 20 B sent"


async def refusing(modules: Modules, status: int, detail: str, **headers: str) -> None:
    """Have the server refuse streams with these words."""
    problem = {"type": "urn:wirewright:problem:x", "status": status, "detail": detail}
    await modules.page.unroute("**/live?**")
    await modules.page.route(
        "**/live?**",
        lambda route: route.fulfill(
            status=status, headers={**headers, "Content-Type": "application/problem+json"}, json=problem
        ),
    )


async def refused(modules: Modules) -> None:
    """End the stream as a browser that was refused; when this is over, the page has asked why, and waits."""
    await modules.page.evaluate(REFUSE)


async def test_a_refused_stream_is_asked_for_again_once(modules: Modules) -> None:
    await refusing(modules, 429, "You have 16 pages open.", **{"Retry-After": "7"})
    await modules.page.evaluate(START, "table")
    await refused(modules)
    assert await modules.page.evaluate(OPEN) == [False]
    # Who leaves the page meanwhile and comes back has one stream, not two.
    await modules.page.evaluate(HIDE, True)
    await modules.page.evaluate(HIDE, False)
    await modules.page.clock.run_for(30_000)
    assert await modules.page.evaluate(OPEN) == [False, True]


async def test_a_refused_stream_is_asked_for_again_when_the_server_says(modules: Modules) -> None:
    await refusing(modules, 429, "You have 16 pages open.", **{"Retry-After": "7"})
    await modules.page.evaluate(START, "table")
    await refused(modules)
    await modules.page.clock.run_for(6999)
    assert await modules.page.evaluate(OPEN) == [False]
    await modules.page.clock.run_for(1)
    assert await modules.page.evaluate(OPEN) == [False, True]
    # Without its word, after ten seconds.
    await refusing(modules, 401, "Log in again.")
    await refused(modules)
    await modules.page.clock.run_for(9999)
    assert await modules.page.evaluate(OPEN) == [False, False]
    await modules.page.clock.run_for(1)
    assert await modules.page.evaluate(OPEN) == [False, False, True]


async def test_why_a_stream_is_refused_is_said_once_until_it_is_there_again(modules: Modules) -> None:
    notices = modules.page.locator("#notices")
    await modules.page.evaluate(START, "table")
    await refusing(modules, 429, "You have 16 pages open.", **{"Retry-After": "7"})
    await refused(modules)
    await expect(notices).to_contain_text("this page grows old. You have 16 pages open.")
    # Another thing is told in its place, and stays.
    await modules.page.evaluate("document.getElementById('notices').textContent = 'Something else'")
    await modules.page.clock.run_for(7000)
    await refused(modules)
    await expect(notices).to_have_text("Something else")
    await refusing(modules, 401, "Log in again.")
    await modules.page.clock.run_for(7000)
    await refused(modules)
    await expect(notices).to_contain_text("Log in again.")
    await modules.page.clock.run_for(10_000)
    await modules.page.evaluate("sources.at(-1).dispatchEvent(new Event('open'))")
    await expect(notices).to_be_empty()


async def test_a_page_that_nobody_sees_listens_to_nothing(modules: Modules) -> None:
    await modules.page.evaluate(START, "table")
    await modules.page.evaluate(HIDE, True)
    assert await modules.page.evaluate(OPEN) == [False]
    await modules.page.evaluate(HIDE, False)
    assert await modules.page.evaluate(OPEN) == [False, True]
    await refusing(modules, 429, "You have 16 pages open.")
    await refused(modules)
    await modules.page.evaluate(HIDE, True)
    await modules.page.clock.run_for(30_000)
    assert True not in await modules.page.evaluate(OPEN)


async def test_a_table_that_is_replaced_listens_no_more(modules: Modules) -> None:
    await modules.page.evaluate(START, "table")
    await modules.page.evaluate("() => document.querySelector('table').remove()")
    assert await modules.page.evaluate(OPEN) == [False]
    await modules.page.evaluate(HIDE, True)
    await modules.page.evaluate(HIDE, False)
    assert await modules.page.evaluate(OPEN) == [False]


async def test_a_chart_is_drawn_of_what_its_device_transfers(modules: Modules) -> None:
    await modules.page.evaluate(START, "#one")
    await modules.page.evaluate(
        "async () => (await import('/js/chart.js')).default(document.querySelector('#chart'))"
    )
    await expect(modules.page.locator("#chart")).to_have_text(
        "What it transfers is drawn here as it happens."
    )
    rates = [[NOW - 1000 * index, 1000, 500] for index in range(10, 0, -1)]
    await modules.page.evaluate(TELL, [sight(rates=rates)])
    assert await modules.page.locator("#chart canvas").count() == 1
    await expect(modules.page.locator("#chart")).to_contain_text("received from it")


async def test_times_and_sizes_are_said_as_the_server_says_them(modules: Modules) -> None:
    ages = [*range(-200, 200), *range(-200_000, 200_000, 450), 10**7, -(10**7)]
    said = await modules.page.evaluate(
        """async ([now, ages]) => {
            const { relative } = await import('/js/times.js');
            return ages.map((age) => relative(now - 1000 * age, now));
        }""",
        [NOW, ages],
    )
    assert said == [words.relative(0, age * SECOND) for age in ages]
    sizes = [*range(2000), *range(9000, 1_200_000, 50), *(5 * 10**power for power in range(17)), 2**53]
    assert await modules.page.evaluate(
        "async (sizes) => { const { size } = await import('/js/sizes.js'); return sizes.map(size); }", sizes
    ) == [words.size(size) for size in sizes]
