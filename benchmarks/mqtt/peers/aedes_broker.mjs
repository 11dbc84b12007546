// aedes' broker: node aedes_broker.mjs FOLDER PORT, where FOLDER has node_modules.

import { createRequire } from "node:module";
import net from "node:net";
import { pathToFileURL } from "node:url";

const [folder, port] = process.argv.slice(2);
const { resolve } = createRequire(`${folder}/`);
const { Aedes } = await import(pathToFileURL(resolve("aedes")));

const broker = await Aedes.createBroker();
net.createServer({ noDelay: true }, broker.handle).listen(Number(port), "127.0.0.1", 1024);
