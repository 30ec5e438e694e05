import { Counter, Gauge, type Registry } from "prom-client";

/**
 * Prometheus' standard process metrics. prom-client's own defaults read V8 figures, which Bun answers
 * with zeros and NaN, and start an event-loop sampler that nothing stops.
 */
export function registerProcessMetrics(registry: Registry): void {
  const registers = [registry];
  new Counter({
    name: "process_cpu_seconds_total",
    help: "CPU time of this process, user and system",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of this process",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: "process_start_time_seconds",
    help: "Start of this process, Unix time",
    registers,
  }).set(Math.floor(Date.now() / 1000 - process.uptime()));
}
