import { useEffect, useState } from "preact/hooks";
import { type GatewayApi, GatewayError, type ModelCard } from "./gateway-api.ts";

export interface ServedModel {
  readonly model: ModelCard | undefined;
  /** Why there is none, for the person who waits. */
  readonly trouble: string | undefined;
  /** Whether asking again could help. */
  readonly isFinal: boolean;
}

const RETRY_MS = 3000;

/** The model that is served; asked for until there is one, and anew with another key. */
export function useModel(api: GatewayApi, apiKey: string): ServedModel {
  const [served, setServed] = useState<ServedModel>({ model: undefined, trouble: undefined, isFinal: false });
  // With another key the answer may be another.
  useEffect(() => {
    const stop = new AbortController();
    const look = async (): Promise<void> => {
      const found = await findModel(api, stop.signal);
      if (stop.signal.aborted) return;
      setServed(found);
      if (!found.isFinal) setTimeout(() => void look(), RETRY_MS);
    };
    void look();
    return () => stop.abort();
  }, [api, apiKey]);
  return served;
}

async function findModel(api: GatewayApi, signal: AbortSignal): Promise<ServedModel> {
  try {
    const [model] = await api.models(signal);
    const trouble = model ? undefined : "The mesh serves no model yet.";
    return { model, trouble, isFinal: model !== undefined };
  } catch (error) {
    const trouble = error instanceof Error ? error.message : String(error);
    return { model: undefined, trouble, isFinal: error instanceof GatewayError && error.status === 401 };
  }
}
