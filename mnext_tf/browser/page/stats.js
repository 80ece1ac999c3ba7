// Numbers of rounds. Quantiles as NumPy's default: linear between the two nearest values.

export function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

export const median = (values) => quantile(values, 0.5);

/** {median, p25, p75} of values. */
export const summary = (values) => ({ median: median(values), p25: quantile(values, 0.25), p75: quantile(values, 0.75) });

/** The summary of the ratios of `rounds` to `reference`, round by round; both are lists of lists of times. */
export function ratio(rounds, reference) {
  const count = Math.min(rounds.length, reference.length);
  return summary(Array.from({ length: count }, (_, i) => median(rounds[i]) / median(reference[i])));
}

/** A time in ms with three digits, or as many as it has before the point. */
export function milliseconds(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
