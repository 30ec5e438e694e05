import type { VNode } from "preact";
import type { ToolCall } from "../gateway-api.ts";

/** What the model wants called, with its arguments laid out; half of them while they are written. */
export function CallsView({ calls }: { readonly calls: readonly ToolCall[] }): VNode {
  return (
    <ul class="calls" aria-label="Calls of tools">
      {calls.map((call, index) => (
        <li key={index.toString()} class="call">
          <p>
            Calls <code>{call.name}</code>
          </p>
          <pre>
            <code>{laidOut(call.arguments)}</code>
          </pre>
        </li>
      ))}
    </ul>
  );
}

/** JSON with a line for each member; anything else as it is. */
export function laidOut(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), undefined, 2);
  } catch {
    return json;
  }
}
