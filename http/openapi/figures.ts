import * as v from "valibot";

export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const milliseconds = v.pipe(v.number(), v.minValue(0));
