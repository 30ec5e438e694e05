/** What a gateway's metrics say of the one series that `sample` [its value as first group] matches; NaN without it. */
export async function readMetric(url: string, sample: RegExp): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(sample.exec(text)?.[1]);
}

/** Sessions that the gateway has. `url`: its root. */
export const activeSessions = (url: string): Promise<number> =>
  readMetric(url, /^flowmesh_sessions_active (\d+)$/m);
