import { readDeviceModel } from "../cli/device-model.ts";
import { Progress } from "../cli/progress.ts";
import { readSettings } from "../cli/settings.ts";
import { listenForStop } from "../cli/stop-signals.ts";
import { UsageError } from "../cli/usage-error.ts";
import { loadModelText, type ModelText } from "../models/model-text.ts";
import { provideModel } from "../models/provision/model.ts";
import { DEFAULT_MODEL } from "../models/provision/model-catalogue.ts";
import { type AcceptanceTrace, writeTrace } from "./acceptance-trace.ts";
import { meshArguments, withMesh } from "./bench-mesh.ts";
import type { BenchOptions } from "./bench-options.ts";
import { differentAnswers } from "./identity.ts";
import { type BenchPrompt, PROMPTS_FILE, readPrompts, splitPrompts } from "./prompts.ts";
import { provenance } from "./provenance.ts";
import { renderReport } from "./report.ts";
import { type BenchResult, REFERENCE, type Scenario, scenarioName } from "./result.ts";
import { openResultFolder } from "./result-folder.ts";
import { renderPlots } from "./result-plots.ts";
import { playScenario } from "./scenario.ts";
import { showRemaining } from "./time-left.ts";
import { recordTraces } from "./trace-recorder.ts";
import { tuningGrid } from "./tuning-grid.ts";
import { warningsOf } from "./warnings.ts";

/** Baseline where none is asked for. */
const USUAL_BASELINE = "naive";

/**
 * Plays the same prompts with each policy in turn, on a running mesh for each device and link, and writes a
 * report. Gives the exit code: 1 when an answer is not the one that plain decoding gives.
 */
export async function bench(options: BenchOptions): Promise<number> {
  const baseline = chooseBaseline(options);
  if (options.tune && options.drafter === "none") {
    throw new UsageError("option '--tune' needs a drafter: there is nothing to tune with '--drafter none'.");
  }
  for (const device of options.devices) if (device !== "real") await readDeviceModel(device);
  const folder = options.out === undefined ? undefined : await openResultFolder(options.out);
  const stop = listenForStop((exitCode) => process.exit(exitCode));
  try {
    const result = await measure(options, baseline, stop.signal);
    const plots = await renderPlots(result);
    const report = renderReport(result, folder === undefined ? [] : plots);
    await folder?.write([
      { name: "results.json", text: `${JSON.stringify(result, null, 1)}\n` },
      ...plots.map(({ name, svg }) => ({ name, text: svg })),
      { name: "report.md", text: report },
    ]);
    console.log(report);
    return differentAnswers(result.scenarios.flatMap(({ runs }) => runs)).length === 0 ? 0 : 1;
  } catch (error) {
    // Called off by the user: what was under way then fails, and that is no news.
    if (stop.exitCode !== undefined) return stop.exitCode;
    throw error;
  } finally {
    stop.release();
  }
}

/** Throws UsageError when it does not take part. */
function chooseBaseline({ baseline, policies, tune }: BenchOptions): string | undefined {
  const tuned = policies.filter((policy) => tune && tuningGrid(policy) !== undefined);
  const labels = [REFERENCE, ...policies, ...tuned.map((policy) => `${policy}*`)];
  if (baseline === undefined) return labels.includes(USUAL_BASELINE) ? USUAL_BASELINE : undefined;
  if (labels.includes(baseline)) return baseline;
  throw new UsageError(
    `option '--baseline <policy>' is '${baseline}'; it must be one of those that play: ${labels.join(", ")}.`,
  );
}

async function measure(
  options: BenchOptions,
  baseline: string | undefined,
  signal: AbortSignal,
): Promise<BenchResult> {
  const text = await loadDefaultText();
  const { measured, heldOut } = splitPrompts(
    await readPrompts(options.file ?? PROMPTS_FILE),
    options.prompts,
  );
  const progress = new Progress(process.stderr);
  const setting = { options, text, signal, progress };
  const isRecorded = options.record !== undefined || options.predict;
  const own = isRecorded ? await record(setting, measured, "recording the prompts") : undefined;
  if (own !== undefined && options.record !== undefined) await writeTrace(options.record, own);
  const others = heldOut.length === 0 ? measured : heldOut;
  const traces = {
    ...(options.tune && { trace: await record(setting, others, "recording other prompts") }),
    ...(options.predict && own !== undefined && { measuredTrace: own }),
  };
  const scenarios: Scenario[] = [];
  for (const device of options.devices) {
    for (const link of options.links) {
      progress.begin(scenarioName({ device, link: link.name }));
      const onProgress = showRemaining(progress);
      const scenario = { options, device, link, text, prompts: measured, ...traces, signal, onProgress };
      scenarios.push(await playScenario(scenario));
      progress.done(`${scenarios.at(-1)?.runs.length} answers`);
    }
  }
  return {
    options,
    ...(await provenance()),
    model: DEFAULT_MODEL,
    baseline,
    scenarios,
    warnings: [
      ...(options.tune && heldOut.length === 0
        ? ["policies were tuned with the prompts that are measured: there are no others"]
        : []),
      ...warningsOf(scenarios, options),
    ],
  };
}

interface Setting {
  readonly options: BenchOptions;
  readonly text: ModelText;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** What the drafter guesses below each token of the answers; first turns only. */
function record(
  { options, text, signal, progress }: Setting,
  prompts: readonly BenchPrompt[],
  step: string,
): Promise<AcceptanceTrace> {
  progress.begin(step);
  const onProgress = showRemaining(progress);
  return withMesh(meshArguments(options, "real", "none"), signal, async ({ mesh, transport, sessions }) => {
    const trace = await recordTraces({
      mesh: mesh.mesh,
      transport,
      sessions,
      drafter: options.drafter,
      prompts: prompts.map(({ id, kind, turns: [content = ""] }) => ({
        id,
        kind,
        tokens: text.encodeChat([{ role: "user", content }]),
      })),
      temperatures: options.temperatures,
      maxTokens: options.tokens,
      stopTokens: text.endTokens,
      onProgress: (done, total) => onProgress(done / total),
    });
    progress.done(`${trace.sessions.length} answers`);
    return trace;
  });
}

async function loadDefaultText(): Promise<ModelText> {
  const { path } = await provideModel(DEFAULT_MODEL, { cacheRoot: readSettings().cache });
  return loadModelText(path);
}
