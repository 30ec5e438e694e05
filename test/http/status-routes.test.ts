import { describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { ServedGateway } from "./served-gateway.ts";

describe("GET /health", () => {
  test("is ok once a request would be served, and tells why not before", async () => {
    await using gateway = new ServedGateway();
    const ready = await fetch(`${gateway.url}/health`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toEqual({ status: "ok" });
    gateway.sessions.state = { ...gateway.sessions.state, ready: false, reason: "stage 1 of 3 is loading" };
    const loading = await fetch(`${gateway.url}/health`);
    expect(loading.status).toBe(503);
    expect(await loading.json()).toEqual({ status: "unavailable", reason: "stage 1 of 3 is loading" });
  });
});

describe("GET /v1/models", () => {
  test("lists what the mesh serves", async () => {
    await using gateway = new ServedGateway();
    const models = [];
    for await (const model of gateway.client.models.list()) models.push(model);
    expect(models).toHaveLength(1);
    expect(models[0]).toMatchObject({ id: "tiny-model", object: "model", owned_by: "flowmesh" });
    expect(models[0]).toHaveProperty("flowmesh", {
      context_length: 400,
      policies: ["flowspec", "autoregressive"],
      stages: 3,
      numerics: "exact",
    });
    expect(Number.isInteger(models[0]?.created)).toBe(true);
  });

  test("lists nothing while no model is known", async () => {
    await using gateway = new ServedGateway();
    gateway.sessions.state = { ...gateway.sessions.state, ready: false, modelId: "" };
    expect((await gateway.client.models.list()).data).toEqual([]);
  });

  test("finds one by its id, also one with a slash, or by the name default", async () => {
    await using gateway = new ServedGateway();
    gateway.sessions.state = { ...gateway.sessions.state, modelId: "Some One/model-1" };
    for (const id of ["Some One/model-1", "default"]) {
      expect((await gateway.client.models.retrieve(id)).id).toBe("Some One/model-1");
    }
    expect((await fetch(`${gateway.url}/v1/models/Some%20One/model-1`)).status).toBe(200);
    const missing = Promise.resolve(gateway.client.models.retrieve("other"));
    await expect(missing).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});

test("every response has a request id; a client's own is kept", async () => {
  await using gateway = new ServedGateway();
  for (const path of ["/health", "/metrics", "/v1/models", "/nowhere", "/v1/completions"]) {
    const response = await fetch(`${gateway.url}${path}`);
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  }
  const own = await fetch(`${gateway.url}/health`, { headers: { "x-request-id": "trace-7" } });
  expect(own.headers.get("x-request-id")).toBe("trace-7");
});
