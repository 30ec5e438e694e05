import { TIGHT_SHARE } from "../models/pace.ts";
import type { ActorProcess } from "./mesh-inventory.ts";

/** Segments that may miss now and then, because something else ran on the machine. */
const BAD_SHARE_MAX = 0.01;

/** Paced stages whose real work did not hide inside the pace, by what they say themselves (`$SRV.INFO`). */
export function paceWarnings(actors: readonly Pick<ActorProcess, "name" | "metadata">[]): string[] {
  return actors.flatMap(({ name, metadata }) => {
    const segments = Number(metadata.paced_segments ?? 0);
    const tight = Number(metadata.paced_tight ?? 0);
    const late = Number(metadata.paced_late ?? 0);
    if (tight + late <= segments * BAD_SHARE_MAX) return [];
    return [
      `${name}: the real work took more than ${100 * TIGHT_SHARE} % of the paced time for ${tight + late} of ` +
        `${segments} segments, and all of it for ${late}`,
    ];
  });
}
