/** Upper limit of a chi-squared statistic that chance exceeds once in about 30,000 (4 sigma, Wilson-Hilferty). */
export function chiSquaredLimit(degreesOfFreedom: number): number {
  const spread = 2 / (9 * degreesOfFreedom);
  return degreesOfFreedom * (1 - spread + 4 * Math.sqrt(spread)) ** 3;
}
