"""The page in a browser: Chromium without a window, driven by Selenium."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trio
from attrs import define, evolve, field

from speedo_trio.admin.endpoint import ADMIN_CONFIG, Admin
from speedo_trio.echo import EchoProtocol
from speedo_trio.events import Address, ProxyInfo, TLSInfo, WebSocketInfo
from speedo_trio.io.door import Introduction
from speedo_trio.meter import Meter
from speedo_trio.protocol.report import Figure, Reporter
from speedo_trio.server import Server, serve
from tests.outside import need

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

need("chromium", "chromedriver", modules=("selenium",))

PATIENCE = 30.0
"""Seconds until what the page should show is missing; a machine may be busy."""

HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
"""What would change the page's title if it were taken for markup."""

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-first-run", "--window-size=1200,900"),
)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    """One browser for all tests."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(executable_path="/usr/bin/chromedriver"))
    driver.set_page_load_timeout(PATIENCE)
    yield driver
    driver.quit()


@define
class Page:
    """The page as somebody sees it who looks at it. Selenium blocks, so it works in threads."""

    chrome: Chrome
    url: str

    async def open(self, url: str = "") -> None:
        """Load it, and forget what went before."""
        await trio.to_thread.run_sync(self._open, url or self.url)

    def _open(self, url: str) -> None:
        self.chrome.get("about:blank")
        for kind in "browser", "performance":
            self._log(kind)
        self.chrome.get(url)

    async def run(self, script: str, *arguments: object) -> Any:
        """What a function's body returns in the page."""
        return await trio.to_thread.run_sync(
            partial(self.chrome.execute_script, script, *arguments)
        )

    async def text(self, selector: str) -> str:
        """The text that an element shows."""
        found = await self.run(
            "return document.querySelector(arguments[0])?.innerText ?? null", selector
        )
        return "" if found is None else str(found)

    async def texts(self, selector: str) -> list[str]:
        """The texts of all elements."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
        return [str(text) for text in await self.run(script, selector)]

    async def click(self, selector: str) -> None:
        """As with a mouse."""
        await trio.to_thread.run_sync(self._click, selector)

    def _click(self, selector: str) -> None:
        self.chrome.find_element("css selector", selector).click()

    async def press(self, key: str) -> None:
        """On the keyboard."""
        from selenium.webdriver import ActionChains

        await trio.to_thread.run_sync(ActionChains(self.chrome).send_keys(key).perform)

    async def until(self, seen: Callable[[], Awaitable[object]]) -> None:
        """Wait until something is to be seen."""
        end = time.monotonic() + PATIENCE
        while not await seen():
            if time.monotonic() > end:
                body = await self.text("body")
                raise AssertionError(f"it did not come; the page is:\n{body}")
            await trio.sleep(0.1)

    async def until_text(self, selector: str, text: str) -> None:
        """Wait until an element shows this."""

        async def seen() -> bool:
            return text in await self.text(selector)

        await self.until(seen)

    def emulate(self, scheme: str = "light", width: int = 1200, height: int = 900) -> None:
        """Colours and size of the screen."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def _log(self, kind: str) -> list[dict[str, str]]:
        """What has come since the last look."""
        entries: list[dict[str, str]] = self.chrome.get_log(kind)  # type: ignore[no-untyped-call]  # theirs
        return entries

    def complaints(self) -> list[str]:
        """What the browser's console has got."""
        return [entry["message"] for entry in self._log("browser")]

    def asked(self) -> set[str]:
        """Whom the browser has asked for anything."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return {urlsplit(url).netloc or url.partition(",")[0] for url in urls}


@define
class Scene:
    """A server with an endpoint, and the page in a browser."""

    server: Server
    admin: Server
    page: Page
    nursery: trio.Nursery
    streams: list[trio.SocketStream] = field(factory=list)

    async def connect(self) -> trio.SocketStream:
        """A new client; it is closed with the scene."""
        port = self.server.addresses[0].port
        self.streams.append(await trio.open_tcp_stream("127.0.0.1", port))
        return self.streams[-1]

    def close(self) -> None:
        """Leave no socket behind."""
        for stream in self.streams:
            stream.socket.close()

    async def talk(self, stream: trio.abc.Stream) -> None:
        """Send lines for ever, and wait for each."""
        while True:
            await stream.send_all(b"x" * 99 + b"\n")
            await stream.receive_some()
            await trio.sleep(0.005)


@asynccontextmanager
async def open_scene(
    chrome: Chrome, token: str | None = None, reporters: Iterable[Reporter] = ()
) -> AsyncIterator[Scene]:
    """All that a test needs; the page is not open yet."""
    meter = Meter()
    async with trio.open_nursery() as nursery:
        start = partial(serve, EchoProtocol, "tcp://127.0.0.1:0", meter=meter)
        server: Server = await nursery.start(start)
        start = partial(
            serve,
            Admin(server, meter=meter, token=token, reporters=reporters),
            "tcp://127.0.0.1:0",
            config=evolve(
                ADMIN_CONFIG, timeouts=evolve(ADMIN_CONFIG.timeouts, grace=0.0, linger=0.0)
            ),
        )
        admin: Server = await nursery.start(start)
        page = Page(chrome, f"http://localhost:{admin.addresses[0].port}/")
        page.emulate()
        scene = Scene(server, admin, page, nursery)
        try:
            yield scene
        finally:
            scene.close()
        nursery.cancel_scope.cancel()


@pytest.fixture
async def scene(chrome: Chrome) -> AsyncIterator[Scene]:
    """A scene without a token; its page is open and shows the server."""
    async with open_scene(chrome) as scene:
        await scene.page.open()
        await scene.page.until_text("#state", "serving")
        yield scene


async def test_connections_rise_and_fall(scene: Scene) -> None:
    """In the figure, the line and the table."""
    page = scene.page
    await page.until_text("#none", "Nobody is connected")
    streams = [await scene.connect() for _ in range(3)]
    await page.until_text("#open", "3")
    numbers = await page.texts("#rows td.id")
    for stream in streams:
        await stream.aclose()
    await page.until_text("#open", "0")

    assert numbers == ["3", "2", "1"]
    assert await page.texts("#rows tr") == []
    assert "3 at most" in str(
        await page.run("return document.getElementById('spark-connections').ariaLabel")
    )
    assert await page.text("#peak-connections") == "peak 3"
    assert "0" in await page.run("return document.title")
    assert (await page.text("#closed")) == ""  # folded away
    await page.click("#ends summary")
    await page.until_text("#closed", "eof\n3")


async def test_throughput(scene: Scene) -> None:
    """Messages and bytes a second, and how long they took."""
    page = scene.page

    async def rate() -> float:
        return float((await page.text("#message-rate")).replace(",", ""))

    async def fast() -> bool:
        return await rate() > 5

    async def quiet() -> bool:
        return await rate() == 0

    assert await quiet()
    stream = await scene.connect()
    async with trio.open_nursery() as talking:
        talking.start_soon(scene.talk, stream)
        await page.until(fast)
        await page.until_text("#received-rate", "KiB")
        await page.until_text("#executed-p99", "s")
        await page.until_text("#threads", "1")
        talking.cancel_scope.cancel()
    await page.until(quiet)
    peak = (await page.text("#peak-messages")).removeprefix("peak ")

    assert float(peak.replace(",", "")) > 5
    assert await page.run("return document.querySelectorAll('#spark-messages path').length") > 2


async def test_details_of_one_connection(scene: Scene) -> None:
    """They are shown as they change, until it ends; then that is shown."""
    page = scene.page
    stream, _other = await scene.connect(), await scene.connect()
    port = stream.socket.getsockname()[1]
    await page.until_text("#open", "2")
    await page.click("#rows tr:last-child td.peer")
    await page.until_text("#facts", "messages executed\n0")
    title = await page.text("#h-details")
    await stream.send_all(b"hello\n")
    await page.until_text("#facts", "messages executed\n1")
    facts = await page.text("#facts")
    await stream.aclose()
    await page.until_text("#gone", "It has ended")

    assert title == "Connection 1"
    assert f"peer\ntcp://127.0.0.1:{port}\n" in facts
    assert "received\n6 B" in facts
    assert "TLS\nnone" in facts
    assert "messages executed\n1" in await page.text("#facts")


async def test_the_keyboard_is_enough(scene: Scene) -> None:
    """Details open at a button, whose name says what it does; Escape leads back to it."""
    page = scene.page
    await scene.connect()
    await page.until_text("#open", "1")
    await page.run("document.querySelector('#rows button').focus()")
    await page.press("\ue007")  # Enter
    await page.until_text("#h-details", "Connection 1")
    focused = await page.run("return document.activeElement.id")
    await page.press("\ue00c")  # Escape
    name = await page.run("return document.activeElement.ariaLabel")

    assert focused == "h-details"
    assert name == "Details of connection 1"
    assert await page.run("return document.getElementById('details').hidden")


async def test_the_table_is_sorted(scene: Scene) -> None:
    """By a column's button, that way and the other; the header tells."""
    page = scene.page
    streams = [await scene.connect() for _ in range(3)]
    for stream, size in zip(streams, (10, 1000, 100), strict=True):
        await stream.send_all(b"x" * (size - 1) + b"\n")
        await stream.receive_some()

    async def sorted_as(*numbers: str) -> None:
        async def seen() -> bool:
            return await page.texts("#rows td.id") == list(numbers)

        await page.until(seen)

    await sorted_as("3", "2", "1")
    await page.click("th.received button")
    await sorted_as("2", "3", "1")
    assert await page.run("return document.querySelector('th.received').ariaSort") == "descending"
    await page.click("th.received button")
    await sorted_as("1", "3", "2")
    assert await page.run("return document.querySelector('th.received').ariaSort") == "ascending"
    assert await page.run("return document.querySelector('th.id').ariaSort") == "none"
    await page.click("th.peer button")
    assert await page.run("return document.querySelector('th.peer').ariaSort") == "ascending"


async def test_more_connections_than_are_listed(scene: Scene) -> None:
    """The server sorts, so that those with most are there whoever is newest."""
    page = scene.page
    busy = await scene.connect()
    await busy.send_all(b"x" * 999 + b"\n")
    await busy.receive_some()
    [await scene.connect() for _ in range(120)]
    await page.until_text("#listed", "100 of 121: the newest")
    assert len(await page.texts("#rows tr")) == 100
    await page.click("th.sent button")
    await page.until_text("#listed", "100 of 121: those with most of “sent”")

    assert (await page.texts("#rows td.id"))[0] == "1"


async def test_the_end(scene: Scene) -> None:
    """Paused, draining, ended, and then nobody answers; each has its words."""
    page = scene.page
    stream = await scene.connect()
    await page.until_text("#open", "1")
    scene.server.pause()
    await page.until_text("#state", "paused")
    scene.server.resume()
    await page.until_text("#state", "serving")
    scene.nursery.start_soon(scene.server.drain)
    await page.until_text("#state", "draining")
    title = await page.run("return document.title")
    await stream.aclose()
    await page.until_text("#state", "ended")
    await scene.admin.drain()
    await page.until_text("#state", "no answer since")

    assert title == "draining – speedo_trio"
    assert await page.run("return document.body.dataset.state") == "lost"
    assert await page.text("#accepted") == "1"  # what was last known is still there


async def test_nothing_is_asked_of_others_and_nothing_complained(scene: Scene) -> None:
    """All requests go to the endpoint; the console stays empty."""
    page = scene.page
    await scene.connect()
    await page.until_text("#open", "1")
    await page.click("#rows button")
    await page.until_text("#facts", "peer")
    await page.click("#close")
    for summary in "#ends summary", "#config summary":
        await page.click(summary)
    await page.until_text("#settings", "lane_messages")
    own = urlsplit(page.url).netloc

    assert page.asked() <= {own, "data:image/svg+xml"}
    assert page.complaints() == []


def introduce(server: Server, introduction: Introduction) -> None:
    """Have the connection say this of itself, as after a handshake."""
    (link,) = server._house.links.values()
    link.connection.introduction = introduction


async def test_what_peers_say_is_only_text(scene: Scene) -> None:
    """Names, paths and headers are shown as they are, and nothing of them works."""
    page = scene.page
    await scene.connect()
    await page.until_text("#open", "1")
    introduction = Introduction(
        peer=Address("unix", path=HOSTILE),
        tls=TLSInfo(
            version="TLSv1.3",
            cipher=HOSTILE,
            certificate={"subject": ((("commonName", HOSTILE),),)},
        ),
        websocket=WebSocketInfo(
            path=f"/{HOSTILE}",
            subprotocol=HOSTILE,
            headers=(("user-agent", HOSTILE), ("cookie", "secret"), (HOSTILE, "x")),
        ),
        proxy=ProxyInfo(proxy=Address("unix", path=HOSTILE), version=2, tlvs=((1, b"h2"),)),
    )
    introduce(scene.server, introduction)
    await page.until_text("#rows td.peer", HOSTILE)
    await page.click("#rows button")
    await page.until_text("#facts", "header user-agent")
    facts = await page.text("#facts")

    assert facts.count(HOSTILE) == 8
    assert f"subject\ncommonName={HOSTILE}" in facts
    assert "header cookie\nnot shown" in facts
    assert "tlv 0x01\n6832" in facts
    assert await page.run("return document.querySelectorAll('img, #facts script').length") == 0
    assert "broken" not in await page.run("return document.title")
    assert page.complaints() == []


async def test_light_and_dark(scene: Scene) -> None:
    """As the reader has chosen; what is read has contrast enough (WCAG 2, 1.4.3)."""
    page = scene.page
    grounds = []
    for scheme in "light", "dark":
        page.emulate(scheme)
        grounds.append(await page.run(GROUND))
        assert await page.run(CONTRASTS) == []

    assert grounds[0] > 200
    assert grounds[1] < 60


GROUND = "return Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"

CONTRASTS = """
const parts = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => parts(color).slice(0, 3)
  .map((part) => part / 255)
  .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
  .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const ground = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const color = getComputedStyle(one).backgroundColor;
    if ((parts(color)[3] ?? 1) === 1) return color;
  }
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !element.checkVisibility()) continue;
  const both = [light(getComputedStyle(element).color), light(ground(element))];
  const [low, high] = both.sort((one, other) => one - other);
  if ((high + 0.05) / (low + 0.05) < 4.5) found.push(element.outerHTML);
}
return found;
"""
"""Elements whose text has too little contrast."""


async def test_phones(scene: Scene) -> None:
    """Nothing is wider than the screen, but the table, which scrolls in its own box."""
    page = scene.page
    await scene.connect()
    page.emulate(width=360, height=700)
    await page.until_text("#open", "1")
    width = await page.run("return document.documentElement.scrollWidth")
    await page.run("document.querySelector('#rows button').click()")
    await page.until_text("#facts", "peer")

    assert width <= 360
    assert await page.run("return document.documentElement.scrollWidth") <= 360


async def test_everything_has_a_name(scene: Scene) -> None:
    """What can be pressed, what is drawn, and each section, for those who don't see it."""
    page = scene.page
    await scene.connect()
    await page.until_text("#open", "1")

    assert await page.run(NAMELESS) == []
    assert await page.run("return document.documentElement.lang") == "en"
    assert await page.run("return document.querySelectorAll('#connections th[scope=col]').length")
    assert await page.run("return document.querySelector('#connections caption') !== null")


NAMELESS = """
const named = (one) => one.ariaLabel || one.innerText?.trim()
  || document.getElementById(one.getAttribute("aria-labelledby"))?.innerText;
return [...document.querySelectorAll("button, svg, section, aside, [role]")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !named(one)).map((one) => one.outerHTML);
"""


class Broker:
    """A protocol that reports one hostile client."""

    async def report(self) -> list[Figure]:
        return [
            Figure(name="mqtt_queued_bytes", text="", value=2048),
            Figure(name="mqtt_sessions", text="", value={"away": 3}, label="client"),
        ]

    async def report_clients(self, most: int) -> list[dict[str, object]]:
        numbers = dict.fromkeys(("subscriptions", "queued", "queued_bytes", "inflight"), 1)
        return [{"id": HOSTILE, "connected": False, "version": None, **numbers, "dropped": 7}]

    def report_client(self, client_id: str) -> dict[str, object] | None:
        return {"id": client_id, "filters": {HOSTILE: "QoS 1"}} if client_id == HOSTILE else None


async def test_a_broker(chrome: Chrome) -> None:
    """Its figures, its clients, and one of them; what they say is only text."""
    async with open_scene(chrome, reporters=[Broker()]) as scene:
        page = scene.page
        await page.open()
        await page.until_text("#figures", "2.0 KiB")

        assert ["queued bytes", "sessions, away"] == await page.texts("#figures dt")
        assert [HOSTILE, "no", "–", "1", "1", "1 B", "1", "7"] == await page.texts("#clients td")
        await page.click("#clients button")
        await page.until_text("#facts", "QoS 1")
        assert f"Client {HOSTILE}" == await page.text("#h-details")
        assert "broken" not in str(await page.run("return document.title"))
        assert page.complaints() == []


async def test_without_a_broker(scene: Scene) -> None:
    """There is no section of it."""
    assert await scene.page.run("return document.getElementById('reports').hidden")


async def test_with_a_token(chrome: Chrome) -> None:
    """Who has given it, as a password, sees the page at work; who hasn't, sees nothing."""
    async with open_scene(chrome, token="s3cret") as scene:
        page = scene.page
        await page.open()
        refused = await page.text("body")
        await page.open(page.url.replace("http://", "http://me:s3cret@"))
        await page.until_text("#state", "serving")

    assert "serving" not in refused
