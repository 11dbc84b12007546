"""MQTT as MQTT.js speaks it, in Node and in a browser: each test is a script that both run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.judges.authority import Authority
from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.program import PATIENCE, Program
from tests.outside import VARIABLE, find, need

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

need("node", "npm", modules=("trustme", "wsproto"))

PACKAGE = "mqtt@5.16.0"

INSTALL_SECONDS = 120

PRELUDE = """
const {url, topic, ca} = given;

async function connect(options = {}) {
    const client = await mqtt.connectAsync(
        url, {reconnectPeriod: 0, ca, protocolVersion: 5, ...options}, false);
    client.on("error", () => {});
    client.packets = [];
    client.waiting = [];
    client.on("message", (topic, payload, packet) => {
        client.packets.push({...packet, topic, payload: payload.toString()});
        for (const look of client.waiting) look();
    });
    return client;
}

const came = (client, count) => new Promise(done => {
    const look = () => client.packets.length >= count && done(client.packets.splice(0, count));
    client.waiting = [look];
    look();
});

const happens = (client, event) => new Promise(done => client.once(event, done));
"""
"""What the scripts begin with."""

Run: TypeAlias = Callable[[str], Any]


@pytest.fixture(scope="session")
def modules(request: pytest.FixtureRequest) -> Path:
    """Where MQTT.js is: in pytest's cache, which npm fills the first time."""
    assert request.config.cache is not None
    folder = request.config.cache.mkdir(PACKAGE.replace("@", "-"))
    modules = folder / "node_modules"
    if not (modules / "mqtt" / "package.json").exists():
        _install(folder)
    return modules


def _install(folder: Path) -> None:
    npm = find("npm")
    assert npm is not None
    quietly = ("--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel=error")
    done = subprocess.run(
        [npm, "install", "--prefix", str(folder), *quietly, PACKAGE],
        check=False,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    if done.returncode == 0:
        return
    reason = f"npm can't install {PACKAGE}: {done.stderr}"
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def url(broker: MQTTBroker, by: str) -> str:
    """Where the broker is for MQTT.js."""
    scheme = {"tcp": "mqtt", "tls": "mqtts"}.get(by, by)
    path = "/mqtt" if by in {"ws", "wss"} else ""
    return f"{scheme}://localhost:{broker.port(by)}{path}"


def in_node(modules: Path, script: str, **given: str) -> Any:
    """What a script gives that Node runs."""
    program = f"""
        const mqtt = require({json.dumps(str(modules / "mqtt"))});
        const given = {json.dumps(given)};
        {PRELUDE}
        (async () => {{ {script} }})().then(result => {{
            process.stdout.write(JSON.stringify(result), () => process.exit(0));
        }});
    """
    with Program("node", "--input-type=commonjs", stderr=None) as node:
        node.tell(program)
        assert node.end() == 0
        return json.loads(node.text)


def in_chromium(chrome: Chrome, modules: Path, script: str, **given: str) -> Any:
    """What a script gives that a page runs."""
    library = (modules / "mqtt" / "dist" / "mqtt.min.js").read_text()
    chrome.set_script_timeout(PATIENCE)
    if not chrome.execute_script("return 'mqtt' in window"):
        chrome.execute_script(f"{library};\nwindow.mqtt = mqtt;")
    return chrome.execute_async_script(
        f"""
        const [given, done] = arguments;
        {PRELUDE}
        (async () => {{ {script} }})().then(done, error => done(String(error)));
        """,
        given,
    )


@pytest.fixture(params=["tcp", "tls", "ws", "chromium"])
def run(
    request: pytest.FixtureRequest,
    broker: MQTTBroker,
    topic: str,
    modules: Path,
    authority: Authority,
) -> Run:
    """Runs a script that talks to the broker; gives what it gives."""
    if request.param == "chromium":
        need("chromium", "chromedriver", modules=("selenium",))
        chrome = request.getfixturevalue("chrome")
        return lambda script: in_chromium(
            chrome, modules, script, topic=topic, url=url(broker, "ws")
        )
    trust = Path(authority.file).read_text()
    where = url(broker, request.param)
    return lambda script: in_node(modules, script, topic=topic, url=where, ca=trust)


def test_every_version_and_qos(run: Run) -> None:
    """Messages of all QoS go to the broker and come back, in all versions."""
    result = run("""
        const result = [];
        for (const version of [{protocolId: "MQIsdp", protocolVersion: 3},
                               {protocolVersion: 4}, {protocolVersion: 5}]) {
            const client = await connect({clientId: topic, ...version});
            await client.subscribeAsync(topic + "/#", {qos: 2});
            for (const qos of [0, 1, 2]) await client.publishAsync(topic + "/" + qos, "hi", {qos});
            for (const {topic, qos, payload} of await came(client, 3))
                result.push(topic.slice(-2) + qos + payload);
            await client.endAsync();
        }
        return result;
    """)

    assert result == ["/00hi", "/11hi", "/22hi"] * 3


def test_many_in_order(run: Run) -> None:
    """Hundreds of messages at once come in their order, each once."""
    result = run("""
        const client = await connect();
        await client.subscribeAsync(topic, {qos: 2});
        for (let number = 0; number < 300; number++) client.publish(topic, "" + number, {qos: 2});
        const result = (await came(client, 300)).map(({payload}) => Number(payload));
        await client.endAsync();
        return result;
    """)

    assert result == [*range(300)]


def test_a_megabyte(run: Run) -> None:
    """A large message comes whole."""
    came_whole = run("""
        const client = await connect(), large = "0123456789".repeat(100000);
        await client.subscribeAsync(topic, {qos: 1});
        await client.publishAsync(topic, large, {qos: 1});
        const [{payload}] = await came(client, 1);
        await client.endAsync();
        return payload === large;
    """)

    assert came_whole


def test_retained(run: Run) -> None:
    """What is retained comes later, is replaced and is deleted."""
    result = run("""
        const client = await connect(), result = [], options = {qos: 1, retain: true};
        for (const kept of ["first", "second", ""]) {
            await client.publishAsync(topic, kept, options);
            await client.subscribeAsync(topic, {qos: 1});
            await client.publishAsync(topic, "passing", {qos: 0});
            for (const {payload, retain} of await came(client, kept ? 2 : 1))
                result.push(payload + retain);
            await client.unsubscribeAsync(topic);
        }
        await client.endAsync();
        return result;
    """)

    assert result == ["firsttrue", "passingfalse", "secondtrue", "passingfalse", "passingfalse"]


def test_properties(run: Run) -> None:
    """Those of a message come as they were sent; repeated user properties keep their order."""
    result = run("""
        const client = await connect();
        await client.subscribeAsync(topic, {qos: 1, properties: {subscriptionIdentifier: 7}});
        await client.publishAsync(topic, "why?", {qos: 1, properties: {
            userProperties: {b: ["2", "1", "2"], a: "x"}, contentType: "text/plain",
            messageExpiryInterval: 100, payloadFormatIndicator: true, responseTopic: "elsewhere"}});
        const [{properties}] = await came(client, 1);
        await client.endAsync();
        return properties;
    """)

    assert result == {
        "userProperties": {"b": ["2", "1", "2"], "a": "x"},
        "contentType": "text/plain",
        "messageExpiryInterval": 100,
        "payloadFormatIndicator": True,
        "responseTopic": "elsewhere",
        "subscriptionIdentifier": 7,
    }


def test_aliases(run: Run) -> None:
    """Client and broker use aliases on their own, and every message has its topic."""
    result = run("""
        const properties = {topicAliasMaximum: 2};
        const client = await connect({properties, autoAssignTopicAlias: true});
        await client.subscribeAsync(topic + "/#");
        for (const name of "aabbccab") await client.publishAsync(topic + "/" + name, "");
        const result = (await came(client, 8)).map(({topic}) => topic.slice(-1)).join("");
        await client.endAsync();
        return result;
    """)

    assert result == "aabbccab"


def test_a_session_stays(run: Run) -> None:
    """A client that comes back finds its session, with what came meanwhile."""
    result = run("""
        const own = {clientId: topic, properties: {sessionExpiryInterval: 1000}};
        const before = await connect(own);
        await before.subscribeAsync(topic, {qos: 1});
        await before.endAsync();
        const other = await connect();
        await other.publishAsync(topic, "while away", {qos: 1});
        const again = mqtt.connect(url, {...own, ca, clean: false, protocolVersion: 5});
        const here = happens(again, "connect");
        const payload = await new Promise(done => again.once("message", (_, it) => done("" + it)));
        const {sessionPresent} = await here;
        await again.endAsync();
        await other.endAsync();
        const last = await connect({clientId: topic});
        await last.endAsync();
        return [sessionPresent, payload];
    """)

    assert result == [True, "while away"]


def test_a_will(run: Run) -> None:
    """It comes when a client vanishes, and not when one leaves."""
    result = run("""
        const heir = await connect();
        await heir.subscribeAsync(topic, {qos: 1});
        for (const payload of ["left", "vanished"]) {
            const client = await connect({will: {topic, payload, qos: 1, retain: false}});
            if (payload == "left") await client.endAsync();
            else client.stream.destroy();
        }
        const [{payload, qos}] = await came(heir, 1);
        await heir.endAsync();
        return [payload, qos];
    """)

    assert result == ["vanished", 1]


def test_a_takeover(run: Run) -> None:
    """Who is taken over is told so."""
    result = run("""
        const first = await connect({clientId: topic});
        const told = happens(first, "disconnect");
        const second = await connect({clientId: topic});
        const {reasonCode} = await told;
        await second.endAsync();
        return reasonCode;
    """)

    assert result == 0x8E


def test_a_shared_subscription(run: Run) -> None:
    """Members of a group share what is published."""
    result = run("""
        const members = [await connect(), await connect()];
        for (const each of members) await each.subscribeAsync("$share/group/" + topic, {qos: 1});
        for (const payload of "0123456789") await members[0].publishAsync(topic, payload, {qos: 1});
        const shares = await Promise.all(members.map(each => came(each, 5)));
        for (const each of members) await each.endAsync();
        return shares.flat().map(({payload}) => payload).sort().join("");
    """)

    assert result == "0123456789"


def test_a_page_that_is_left(
    broker: MQTTBroker, topic: str, modules: Path, request: pytest.FixtureRequest
) -> None:
    """The will of a page's client is published when the page is left."""
    need("chromium", "chromedriver", modules=("selenium",))
    chrome = request.getfixturevalue("chrome")
    script = """
        const will = {topic, payload: "gone", qos: 1, retain: true};
        await connect({will});
        return true;
    """
    assert in_chromium(chrome, modules, script, topic=topic, url=url(broker, "ws")) is True
    chrome.refresh()

    broker.until_retained(topic, b"gone")
