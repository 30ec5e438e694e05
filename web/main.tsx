import { render } from "preact";
import { App } from "./app.tsx";
import { Conversation } from "./chat/conversation.ts";
import { GatewayApi } from "./gateway-api.ts";
import { LiveConnection } from "./live/live-connection.ts";
import { loadApiKey, loadSettings } from "./settings.ts";

const api = new GatewayApi();
api.apiKey = loadApiKey();
const settings = loadSettings();
const live = new LiveConnection(api);
const conversation = new Conversation(api, live, settings);
live.connect();

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
render(<App api={api} live={live} settings={settings} conversation={conversation} />, root);
